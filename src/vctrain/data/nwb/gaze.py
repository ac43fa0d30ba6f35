"""Where did the animal look at the time of each frame?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.config.nwb import NwbImport
from vctrain.data.inspection.findings import listed
from vctrain.data.inspection.timeline import GAP
from vctrain.data.making.binning import Times
from vctrain.data.nwb.file import pynwb_module, read, times_of
from vctrain.errors import ContractError, UsageError

DEGREES_IN = {
    **dict.fromkeys(("degree", "degrees", "deg", "dva", "visual degrees", "degrees of visual angle", "°"), 1.0),
    **dict.fromkeys(("radian", "radians", "rad"), 180 / math.pi),
    **dict.fromkeys(("arcmin", "arcminutes", "minutes of arc"), 1 / 60),
}
LONGEST_GAP = 0.05
"""Seconds between two samples over which the gaze is interpolated, if they are not the tracker's usual step."""


@dataclass(frozen=True)
class Gaze:
    """Samples of an eye tracker."""

    name: str
    what: str
    """In words."""
    times: Times
    degrees: NDArray[np.float64]
    """(n, 2), NaN where the eye was lost."""
    notes: tuple[str, ...]

    def at(self, times: Times) -> NDArray[np.float64]:
        """Gaze at `times`, (F, 2), on a straight line between two samples; NaN where one is lost or too far away."""
        after = np.searchsorted(self.times, times, side="right").clip(1, len(self.times) - 1)
        before = after - 1
        step = self.times[after] - self.times[before]
        share = (times - self.times[before]) / step
        share = np.where(np.abs(share - np.rint(share)) < 1e-6, np.rint(share), share)[:, None]
        first, second = self.degrees[before], self.degrees[after]
        gaze = np.where(share == 0, first, np.where(share == 1, second, first + share * (second - first)))
        longest = max(GAP * float(np.median(np.diff(self.times))), LONGEST_GAP)
        beyond = (share[:, 0] < 0) | (share[:, 0] > 1)
        between = (share[:, 0] > 0) & (share[:, 0] < 1)
        gaze[beyond | (between & (step > longest))] = np.nan
        return gaze


def trackers_of(nwb: Any) -> dict[str, Any]:
    """Series that hold where an eye looks, by their names: of an EyeTracking, or with eye or gaze in a name."""
    behavior = pynwb_module().behavior
    found: dict[str, Any] = {}
    for series in nwb.objects.values():
        if not isinstance(series, behavior.SpatialSeries):
            continue
        parent = series.parent
        names = f"{series.name} {getattr(parent, 'name', '')}".lower()
        if isinstance(parent, behavior.EyeTracking) or "gaze" in names or "eye" in names:
            found[_path(series)] = series
    return dict(sorted(found.items()))


def gaze_of(nwb: Any, options: NwbImport) -> Gaze | None:
    """The eye tracking that is there, or that `options` name; None without.

    Raises UsageError for a name that is not there and if there is a choice, ContractError for what is no gaze in
    degrees.
    """
    if options.no_eye:
        return None
    found = trackers_of(nwb)
    if options.eye is not None:
        spatial = pynwb_module().behavior.SpatialSeries
        everything = {_path(series): series for series in nwb.objects.values() if isinstance(series, spatial)}
        named = {path: one for path, one in everything.items() if options.eye in (path, *path.split("/"))}
        if not named:
            raise UsageError(
                f"the file has no eye tracking {options.eye}", hint=f"there are: {listed(everything) or 'none'}"
            )
        found = named
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(
            f"the file holds {len(found)} gazes: {listed(found)}",
            hint="choose with --eye NAME, or leave out with --no-eye",
        )
    ((name, series),) = found.items()
    return _gaze(name, series, options.degrees_per_unit)


def _gaze(name: str, series: Any, degrees_per_unit: float | None) -> Gaze:
    where = f"eye tracking {name}"
    shape = tuple(series.data.shape) if hasattr(series.data, "shape") else np.shape(series.data)
    if len(shape) != 2 or shape[1] < 2 or shape[0] < 2:
        raise ContractError(f"{where} is {shape}, not x and y of each sample", hint="choose with --eye, or --no-eye")
    notes = []
    unit = str(series.unit).strip()
    scale = DEGREES_IN.get(unit.lower()) if degrees_per_unit is None else degrees_per_unit
    if scale is None:
        raise ContractError(
            f"{where} is in {unit}, not in degrees of visual angle",
            hint="say how many degrees a unit is with --degrees-per-unit, or leave it out with --no-eye",
        )
    if degrees_per_unit is not None:
        notes.append(f"{where}: one of {unit} taken for {scale:g} degrees; its origin and directions are kept")
    elif scale != 1:
        notes.append(f"{where}: {unit} turned into degrees")
    if shape[1] > 2:
        notes.append(f"{where} has {shape[1]} columns; the first two are taken for x and y")
    stored = read(where, series.data, (slice(None), slice(0, 2))).astype(np.float64)
    degrees = (stored * float(series.conversion) + float(series.offset)) * scale
    times = times_of(series, where)
    if len(times) != len(degrees):
        raise ContractError(f"{where} has {len(degrees):,} samples and {len(times):,} timestamps", hint="or --no-eye")
    if not (np.diff(times) > 0).all():
        first = int(np.flatnonzero(~(np.diff(times) > 0))[0])
        raise ContractError(
            f"{where}: timestamps go from {times[first]:.9g} to {times[first + 1]:.9g} at sample {first + 1:,}",
            hint="correct the file, or leave eye tracking out with --no-eye",
        )
    what = f"{name}, {unit} at {1 / float(np.median(np.diff(times))):.4g} Hz"
    return Gaze(name, what, times, degrees, tuple(notes))


def _path(series: Any) -> str:
    """The name of a series after that of what holds it, below the file.

    It is what ``--eye`` takes, whole or either part.
    """
    names, node = [series.name], series.parent
    while node is not None and node.parent is not None:
        names.append(node.name)
        node = node.parent
    return "/".join(reversed(names))
