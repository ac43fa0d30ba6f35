"""NWB files small enough to write in a test, made by pynwb."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.base import ImageReferences, Images
from pynwb.behavior import EyeTracking, SpatialSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries, OpticalSeries, RGBImage

RATE = 60.0
FRAMES = 900
STARTED = datetime.datetime(2024, 5, 6, 9, 30, tzinfo=datetime.UTC)


def movie(frames: int = FRAMES, size: Sequence[int] = (6, 8), seed: int = 0) -> NDArray[np.uint8]:
    """Random grey levels (frames, *size)."""
    return np.random.default_rng(seed).integers(0, 256, (frames, *size), dtype=np.uint8)


def spike_times(units: int = 3, start: float = -1.0, stop: float = 17.0, seed: int = 1) -> list[NDArray[np.float64]]:
    """About 20 spikes a second for each unit."""
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(start, stop, round(20 * (stop - start)) + 7 * unit)) for unit in range(units)]


def trial_times(start: float = 0.0, stop: float = 15.0, length: float = 1.5) -> NDArray[np.float64]:
    """Trials (n, 2) end to end."""
    starts = np.arange(start, stop, length)
    return np.stack([starts, starts + length], 1)


def nwb_file(*, subject: str | None = "M1", identifier: str = "made") -> NWBFile:
    """An empty file."""
    who = None if subject is None else Subject(subject_id=subject, species="Mus musculus", sex="U", age="P90D")
    return NWBFile(session_description="made", identifier=identifier, session_start_time=STARTED, subject=who)


def add_movie(nwb: NWBFile, name: str = "movie", data: Any = None, **timing: Any) -> ImageSeries:
    """A movie that was shown; by default at 60 Hz from 0 s."""
    timing = timing or {"rate": RATE, "starting_time": 0.0}
    series = ImageSeries(name=name, data=movie() if data is None else data, unit="n.a.", **timing)
    nwb.add_stimulus(series)
    return series


def images(name: str, stack: NDArray[Any], order: Sequence[int] | None = None) -> Images:
    """Images called image_0, ... whose order in the container is `order` of `stack`."""
    kind = RGBImage if stack.ndim == 4 else GrayscaleImage
    made = [kind(name=f"image_{i}", data=image) for i, image in enumerate(stack)]
    listed = [made[i] for i in (range(len(made)) if order is None else order)]
    return Images(name=name, images=made, order_of_images=ImageReferences(name="order_of_images", data=listed))


def add_index(nwb: NWBFile, name: str, index: Any, target: Any, **timing: Any) -> IndexSeries:
    """An index into Images or into an ImageSeries, which pynwb reads but does not make any more."""
    indexed = "indexed_images" if isinstance(target, Images) else "indexed_timeseries"
    series = IndexSeries.__new__(IndexSeries, container_source=None, parent=None, in_construct_mode=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series.__init__(name=name, data=np.asarray(index), unit="N/A", **{indexed: target}, **timing)
    series._in_construct_mode = False
    nwb.add_stimulus_template(target)
    nwb.add_stimulus(series)
    return series


def add_units(
    nwb: NWBFile, spikes: Sequence[Any] | None = None, quality: Sequence[str] = (), first_id: int = 10
) -> None:
    """Units with spike times, and a column quality if it is given."""
    if quality:
        nwb.add_unit_column("quality", "made")
    for unit, times in enumerate(spike_times() if spikes is None else spikes):
        more = {"quality": quality[unit]} if quality else {}
        nwb.add_unit(spike_times=np.asarray(times, float), id=first_id + unit, **more)


def add_trials(nwb: NWBFile, times: Any = None) -> None:
    """Trials (n, 2) seconds."""
    for start, stop in trial_times() if times is None else times:
        nwb.add_trial(start_time=float(start), stop_time=float(stop))


def add_intervals(nwb: NWBFile, name: str, times: Any) -> None:
    """Another table of intervals."""
    table = TimeIntervals(name=name, description="made")
    for start, stop in times:
        table.add_row(start_time=float(start), stop_time=float(stop))
    nwb.add_time_intervals(table)


def gaze(n: int = 3400, rate: float = 200.0, seed: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and degrees (n, 2) of a wandering eye, from -1 s."""
    steps = np.random.default_rng(seed).normal(0, 0.05, (n, 2))
    return np.arange(n) / rate - 1.0, np.cumsum(steps, axis=0)


def add_eye(nwb: NWBFile, name: str = "left_eye", data: Any = None, times: Any = None, **more: Any) -> SpatialSeries:
    """A SpatialSeries in the EyeTracking of the module behavior."""
    if data is None:
        times, data = gaze()
    series = SpatialSeries(
        name=name, data=data, timestamps=times, reference_frame="straight ahead", **{"unit": "degrees", **more}
    )
    if "behavior" not in nwb.processing:
        nwb.create_processing_module("behavior", "made").add(EyeTracking())
    nwb.processing["behavior"]["EyeTracking"].add_spatial_series(series)
    return series


def written(nwb: NWBFile, path: Path) -> Path:
    """The file, on disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with NWBHDF5IO(str(path), "w") as io:
            io.write(nwb)
    return path


def whole_file(path: Path, change: Callable[[NWBFile], None] = lambda nwb: None, **more: Any) -> Path:
    """A file with a movie, units, trials and eye tracking, and what `change` does to it."""
    nwb = nwb_file(**more)
    add_movie(nwb)
    add_units(nwb)
    add_trials(nwb)
    add_eye(nwb)
    change(nwb)
    return written(nwb, path)


__all__ = ["OpticalSeries", "TimeSeries"]
