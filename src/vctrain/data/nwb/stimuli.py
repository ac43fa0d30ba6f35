"""Which stimuli does an NWB file hold, and which image was shown when?"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np

from vctrain.config.nwb import NwbImport
from vctrain.data.inspection.findings import counted, listed
from vctrain.data.intervals import Ints
from vctrain.data.making.binning import Times, frame_ends
from vctrain.data.making.recording import SLOWEST_HZ
from vctrain.data.nwb.file import pynwb_module, read, times_of
from vctrain.data.nwb.grey import Greys
from vctrain.data.nwb.images import GreyImages, ImagesStack, SeriesStack, Stack
from vctrain.errors import ContractError, UsageError

SLOW_HZ = 20.0
"""Below this rate most of a response happens within a frame."""


@dataclass(frozen=True)
class Presented:
    """A stimulus as it was shown: a movie (F, H, W) that is read in pieces, and when each frame began."""

    name: str
    what: str
    """In words."""
    times: Times
    index: Ints
    """The image of each frame, -1 for mean grey, (F,)."""
    images: GreyImages
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(F, H, W)."""
        return len(self.index), self.images.height, self.images.width

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: slice) -> Greys:
        return self.images.take(self.index[key])


def stimuli_of(nwb: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What was shown as images, by name, and what else was shown, by name with what it is."""
    image = pynwb_module().image
    shown, other = {}, {}
    for name, series in nwb.stimulus.items():
        if isinstance(series, image.ImageSeries | image.IndexSeries):
            shown[name] = series
        else:
            other[name] = type(series).__name__
    return shown, other


def chosen(nwb: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The stimuli called `names`, or the only one there is.

    Raises ContractError if nothing was shown as images, UsageError for other names and if there is a choice.
    """
    shown, other = stimuli_of(nwb)
    if names:
        # a movie that was filed under acquisition or templates may be meant, but is not guessed
        image = pynwb_module().image.ImageSeries
        elsewhere = {**nwb.stimulus_template, **nwb.acquisition}
        shown = {**{name: series for name, series in elsewhere.items() if isinstance(series, image)}, **shown}
    for name in names:
        if name not in shown:
            are = f"; {name} is {other[name]}, no images" if name in other else ""
            raise UsageError(
                f"the file has no stimulus {name} made of images{are}", hint=f"there are: {listed(shown) or 'none'}"
            )
    if names:
        return {name: shown[name] for name in names}
    if not shown:
        are = ", ".join(f"{name} ({kind})" for name, kind in other.items()) or "nothing"
        raise ContractError(
            f"the file holds no stimulus made of images; under stimulus: {are}",
            hint="render the frames that were shown, and save them with vctrain.save_session",
        )
    if len(shown) > 1:
        one = shlex.quote(next(iter(shown)))
        raise UsageError(
            f"the file holds {len(shown)} stimuli: {listed(shown)}",
            hint=f"choose with --stimulus {one}; given again, each becomes a type of the session",
        )
    return shown


def presented(name: str, series: Any, options: NwbImport) -> Presented:
    """The stimulus `series` as it was shown. Raises ContractError, UsageError for options that do not fit it."""
    where = f"{type(series).__name__} {name}"
    times = times_of(series, where)
    notes: list[str] = []
    stack, index, what = _images(series, where, notes)
    if len(times) != len(index):
        raise ContractError(
            f"{where} has {len(index):,} frames and {len(times):,} timestamps", hint="write one timestamp a frame"
        )
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        if len(times) < 2:
            raise ContractError(f"{where} has {counted(len(times), 'frame')}", hint="there is nothing to learn from")
        steps = np.diff(times)
        first = int(np.flatnonzero(~(steps > 0))[0])
        raise ContractError(
            f"{where}: timestamps go from {times[first]:.9g} to {times[first + 1]:.9g} at frame {first + 1:,}",
            hint="each frame is shown later than the one before; correct the file",
        )
    stored_hz = 1 / float(np.median(np.diff(times)))
    if options.rate is not None:
        times, index = held(times, index, options.rate, where)
        notes.append(f"{where}: shown at {stored_hz:.4g} Hz, each image held at {options.rate:g} Hz")
    elif stored_hz < SLOW_HZ:
        slow = f"{where} has a frame for each image, {stored_hz:.4g} a second"
        if stored_hz < SLOWEST_HZ:
            raise UsageError(slow, hint="hold each image for its time at a higher rate: --rate 60")
        notes.append(f"{slow}; --rate HZ holds each image for its time, to see how responses unfold")
    sequential = bool((np.diff(index[index >= 0]) >= 0).all())
    images = GreyImages(stack, options, sequential=sequential)
    what = f"{what}, {stack.shape[1]}x{stack.shape[2]}{f' {images.colours}' if images.colours else ''}"
    return Presented(name, f"{what}, at {stored_hz:.4g} Hz", times, index, images, (*notes, *images.notes))


def held(times: Times, index: Ints, rate_hz: float, where: str) -> tuple[Times, Ints]:
    """Frames at `rate_hz`, each with the image that is on the screen when it begins; none in pauses.

    Every stretch between pauses begins with a frame, at the time of its first image. Raises UsageError for a rate
    below that of the images.
    """
    steps, ends = np.diff(times), frame_ends(times)
    if rate_hz * np.median(steps) < 0.99:
        raise UsageError(
            f"--rate {rate_hz:g} is below the {1 / np.median(steps):.4g} Hz of {where}",
            hint="leave --rate out, and lower the rate with sampling in a dataset YAML, which adds up spikes",
        )
    new_times, sources = [], []
    breaks = np.flatnonzero(ends[:-1] < times[1:]) + 1
    for first, last in zip([0, *breaks], [*breaks, len(times)], strict=True):
        # A hair less than a whole frame at the end is rounding, not a frame.
        count = max(1, int(np.ceil((ends[last - 1] - times[first]) * rate_hz - 1e-3)))
        grid = times[first] + np.arange(count) / rate_hz
        new_times.append(grid)
        # An image that begins with a frame must not miss it by a rounding error.
        found = np.searchsorted(times[first:last], grid + 1e-3 / rate_hz, side="right") - 1
        sources.append(first + found)
    return np.concatenate(new_times), index[np.concatenate(sources)]


def _images(series: Any, where: str, notes: list[str]) -> tuple[Stack, Ints, str]:
    """The images, the image of each frame, and both in words."""
    if isinstance(series, pynwb_module().image.ImageSeries):
        stack: Stack = SeriesStack(series)
        return stack, np.arange(stack.shape[0]), f"{type(series).__name__} of {stack.shape[0]:,} frames"
    target = series.indexed_images if series.indexed_images is not None else series.indexed_timeseries
    if target is None:
        raise ContractError(f"{where} indexes neither Images nor an ImageSeries", hint="link its images, with pynwb")
    stack = ImagesStack(target) if series.indexed_images is not None else SeriesStack(target)
    index = read(where, series.data)
    if index.dtype.kind not in "iu":
        raise ContractError(f"{where} is {index.dtype}, no index", hint="store whole numbers")
    beyond = np.flatnonzero(index >= stack.shape[0])
    if len(beyond):
        raise ContractError(
            f"{where} shows image {index[beyond[0]]} at frame {beyond[0]:,}; {stack.where} has {stack.shape[0]:,}",
            hint="images are counted from 0; correct the file",
        )
    blank = int((index < 0).sum())
    if blank:
        notes.append(f"{where}: {counted(blank, 'frame')} with a negative index, taken for mean grey")
    index = np.maximum(index.astype(np.int64), -1)
    return stack, index, f"IndexSeries of {len(index):,} frames, {stack.shape[0]:,} images in {target.name}"
