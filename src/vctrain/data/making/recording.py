"""Do these arrays make up a recording that vctrain opens?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vctrain.data.inspection.findings import counted, listed
from vctrain.data.inspection.gaze import FARTHEST_DEGREES
from vctrain.data.making import trials as trial_labels
from vctrain.data.making.arrays import (
    Array,
    Frames,
    as_array,
    as_movie,
    fine_enough,
    finite,
    numbers,
    plain_metadata,
    to_tensor,
    whole,
)
from vctrain.data.making.binning import BinnedSpikes, Times
from vctrain.data.making.counts import CountArray, SpikeTimes, counts_of
from vctrain.errors import ContractError, UsageError

OWN = ("stim", "robs", "t_bins", "trial_inds", "dpi_valid", "eyepos", "psth_inds", "rate_true", "dfs")
"""Covariates that have an argument of their own, or that vctrain works out."""
OWN_METADATA = ("name", "type", "rate_hz", "unit_ids", "trial_parts")
SLOWEST_HZ, FASTEST_HZ = 2.0, 2000.0


@dataclass(frozen=True)
class Made:
    """A recording that is ready to be written."""

    session: str
    kind: str
    movie: Frames
    counts: CountArray | BinnedSpikes
    covariates: dict[str, torch.Tensor]
    """All but stim and robs."""
    metadata: dict[str, Any]
    rate_hz: float
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(F, H, W)."""
        frames, height, width = self.movie.shape
        return int(frames), int(height), int(width)


def make(
    session: str,
    kind: str,
    stim: object,
    *,
    spike_times: SpikeTimes | None = None,
    counts: object = None,
    frame_times: object = None,
    rate_hz: float | None = None,
    eyepos: object = None,
    valid: object = None,
    trials: object = None,
    psth_inds: object = None,
    rate_true: object = None,
    covariates: Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    unit_ids: Sequence[object] | None = None,
) -> Made:
    """Checks everything that `save_session` is given, bins spikes and labels frames; writes nothing.

    `unit_ids`: the units' own ids, if spike_times is no mapping that says them. Raises ContractError for arrays that
    are no recording, UsageError for arguments that do not fit together.
    """
    movie = as_movie(stim)
    n = int(movie.shape[0])
    labels = None if trials is None else as_array("trials", trials)
    on_clock = spike_times is not None or (labels is not None and labels.ndim == 2)
    times, rate = clock(frame_times, rate_hz, n, on_clock)
    found = counts_of(spike_times, counts, times, n)
    if isinstance(spike_times, Mapping):
        unit_ids = list(spike_times)
    made: dict[str, Array] = {}
    if times is not None:
        made["t_bins"] = times
    trial = trial_labels.labels_of(labels, times, n, rate)
    if trial is not None:
        made["trial_inds"] = trial.number
    gaze, tracked, notes = _gaze(eyepos, valid, n)
    made |= gaze | tracked
    if psth_inds is not None:
        made["psth_inds"] = whole("psth_inds", numbers("psth_inds", psth_inds, (n,), "frame numbers (frames,)"))
    if rate_true is not None:
        made["rate_true"] = _rates(rate_true, found.shape)
    made |= _others(covariates or {}, n)
    said: dict[str, Any] = {"name": session, "type": kind, "rate_hz": rate}
    if unit_ids is not None:
        said["unit_ids"] = plain_metadata(list(unit_ids), "unit_ids")
    if trial is not None and trial.parts:
        said["trial_parts"] = trial.parts
    taken = sorted({str(key) for key in metadata or {}} & set(OWN_METADATA))
    if taken:
        raise UsageError(f"metadata {taken[0]} is set by save_session", hint="use another key")
    return Made(
        session,
        kind,
        movie,
        found,
        {name: to_tensor(name, array) for name, array in made.items()},
        said | plain_metadata(metadata or {}),
        rate,
        (*_unit_notes(found.totals), *(trial.notes if trial else ()), *notes),
    )


def clock(frame_times: object, rate_hz: float | None, n: int, on_clock: bool) -> tuple[Times | None, float]:
    """When each frame starts, (F,) seconds, and the frame rate; `on_clock`: times are needed, from the rate if need be.

    Raises ContractError for times that are not finite and increasing, UsageError if neither is given.
    """
    if rate_hz is not None:
        rate_hz = _positive(rate_hz)
    if frame_times is None:
        if rate_hz is None:
            raise UsageError(
                "neither frame_times nor rate_hz is given", hint="give the start of every frame in seconds"
            )
        return (np.arange(n) / rate_hz if on_clock else None), rate_hz
    given = as_array("frame_times", frame_times)
    if given.ndim == 1 and len(given) == n + 1:
        raise ContractError(
            f"frame_times has {n + 1:,} values for {n:,} frames",
            hint="give the start of every frame; drop the last edge",
        )
    given = finite("frame_times", numbers("frame_times", given, (n,), f"seconds ({n},)"), "frame")
    times = given.astype(np.float64)
    steps = np.diff(times)
    if (steps <= 0).any():
        first = int(np.flatnonzero(steps <= 0)[0])
        raise ContractError(
            f"frame_times goes from {times[first]:.9g} to {times[first + 1]:.9g} at frame {first + 1:,}",
            hint="frames are in the order of time, each later than the one before; is it float32? use float64",
        )
    measured = float(f"{1 / np.median(steps):.6g}")
    if rate_hz is not None and abs(rate_hz / measured - 1) > 0.01:
        raise ContractError(f"rate_hz is {rate_hz:g}, frame_times run at {measured:g} Hz", hint="correct one of them")
    if rate_hz is None and not SLOWEST_HZ <= measured <= FASTEST_HZ:
        raise ContractError(
            f"frame_times run at {measured:g} frames a second",
            hint="give seconds; if this is the rate, say so with rate_hz",
        )
    fine_enough("frame_times", given, float(np.median(steps)))
    return times, rate_hz or measured


def _positive(rate_hz: object) -> float:
    rate = as_array("rate_hz", rate_hz)
    if rate.size != 1 or not np.isfinite(rate).all() or not (rate > 0).all():
        raise UsageError(f"rate_hz is {rate_hz}", hint="give frames a second")
    return float(rate.item())


def _gaze(eyepos: object, valid: object, n: int) -> tuple[dict[str, Array], dict[str, Array], tuple[str, ...]]:
    """eyepos (F, 2) float32; dpi_valid (F,) float32, 0 also where the gaze is not finite; notes."""
    good, said = np.ones(n, bool), []
    if valid is not None:
        good = finite("valid", numbers("valid", valid, (n,), f"0 or 1 ({n},)"), "frame") > 0
        if not good.any():
            raise ContractError("valid is 0 everywhere", hint="no frame would count; without eye tracking leave it out")
    tracked = {"dpi_valid": good.astype(np.float32)}
    if eyepos is None:
        return {}, tracked if valid is not None else {}, ()
    with np.errstate(over="ignore"):
        gaze = numbers("eyepos", eyepos, (n, 2), f"degrees ({n}, 2)").astype(np.float32)
    lost = good & ~np.isfinite(gaze).all(axis=1)
    used = gaze[good & ~lost]
    if not len(used):
        raise ContractError("eyepos is finite on no valid frame", hint="without eye tracking leave it out")
    if (np.abs(used) > FARTHEST_DEGREES).any(axis=1).mean() > 0.01:
        raise ContractError(
            f"eyepos goes from {used.min():g} to {used.max():g}",
            hint="give degrees of visual angle, not pixels or minutes of arc",
        )
    if (constant := (used == used[0]).all(axis=0)).any():
        raise ContractError(
            f"eyepos column {int(constant.argmax())} never changes", hint="if the eye was not tracked leave eyepos out"
        )
    if lost.any():
        said.append(
            f"{counted(int(lost.sum()), 'frame')} with a gaze that is not finite are marked invalid (dpi_valid 0)"
        )
    tracked["dpi_valid"][lost] = 0
    return {"eyepos": gaze}, tracked, tuple(said)


def _rates(rate_true: object, shape: tuple[int, int]) -> Array:
    rates = finite("rate_true", numbers("rate_true", rate_true, shape, f"expected spikes in a frame {shape}"), "frame")
    if (rates < 0).any():
        raise ContractError(f"rate_true goes down to {rates.min():g}", hint="expected counts are not negative")
    return rates.astype(np.float32)


def _others(covariates: Mapping[str, object], n: int) -> dict[str, Array]:
    others = {}
    for name, value in covariates.items():
        if not isinstance(name, str) or not name:
            raise UsageError(f"a covariate is named {name!r}", hint="name it by text")
        if name in OWN:
            raise UsageError(
                f"covariates may not hold {name}", hint="dfs is worked out; others have their own argument"
            )
        array = as_array(name, value)
        if array.ndim == 0 or len(array) != n:
            has = f"{len(array):,} frames" if array.ndim else "no axis"
            raise ContractError(f"covariate {name} has {has}, stim has {n:,}", hint="the first axis is frames")
        others[name] = array
    return others


def _unit_notes(totals: Array) -> tuple[str, ...]:
    silent = np.flatnonzero(totals == 0).tolist()
    if not silent:
        return ()
    return (f"{counted(len(silent), 'unit')} never fire (cid {listed(silent)}); leave them out: nothing to predict",)
