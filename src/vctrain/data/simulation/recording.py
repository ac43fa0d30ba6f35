"""What is recorded in one simulated session: trials of each stimulus type, the units' rates and spikes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation.calibration import Calibration, Geometry, calibration, stored
from vctrain.data.simulation.gaze import track, trial_gaze
from vctrain.data.simulation.stimuli import Gaborium, stimulus
from vctrain.data.simulation.streams import stream
from vctrain.data.simulation.units import HISTORY, Population, Units, draw_units, saturated, visual_rate

TRIAL_SECONDS = (3.5, 6.5)
PAUSE = 0.6
"""Seconds between trials, not recorded."""
PILOT_SECONDS = 12.0
BLOCK = 8192
"""Frames that are turned into spikes at a time."""


@dataclass
class Recording:
    """One stimulus type of one session, ``(F, ...)`` each; large ones are mapped from scratch files."""

    kind: str
    covariates: dict[str, Tensor]
    drive: Tensor
    gain: Tensor
    complete: Tensor
    """Frames whose whole stimulus history was recorded and tracked: where the oracle is measured."""


@dataclass(frozen=True)
class SimulatedSession:
    """Who was recorded, with which error, and which units."""

    index: int
    name: str
    calibration: Calibration
    geometry: Geometry
    population: Population

    @property
    def units(self) -> Units:
        """Those of its population."""
        return self.population.units


def draw_session(index: int, name: str, settings: SimulationConfig) -> SimulatedSession:
    """Units and calibration error of one session."""
    geometry = Geometry(settings.size)
    error = calibration(settings.seed, index, settings.sessions, geometry)
    units = draw_units(stream(settings.seed, index, "units"), settings.units, geometry)
    population = Population(units, geometry, settings.rate)
    rng = stream(settings.seed, index, "pilot")
    pilot = Gaborium(geometry, settings.rate).chunks(rng, np.zeros((round(PILOT_SECONDS * settings.rate), 2)))
    population.calibrate(torch.cat([population.projections(frames) for frames, _ in pilot]))
    return SimulatedSession(index, name, error, geometry, population)


def trial_lengths(rng: np.random.Generator, frames: int, rate: float) -> list[int]:
    """Lengths of trials that sum to ``frames``; only a recording shorter than a trial has a shorter one."""
    shortest, longest = (max(1, round(seconds * rate)) for seconds in TRIAL_SECONDS)
    lengths: list[int] = []
    left = frames
    while left > longest + shortest:
        lengths.append(int(rng.integers(shortest, longest + 1)))
        left -= lengths[-1]
    return [*lengths, left] if left <= longest else [*lengths, left - left // 2, left // 2]


def _scratch(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor mapped from a new file: memory does not grow with the length of a recording."""
    count = int(np.prod(shape))
    return torch.from_file(str(path), shared=True, size=count, dtype=dtype).view(shape)


def record(session: SimulatedSession, kind: str, settings: SimulationConfig, scratch: Path) -> Recording:
    """Show one stimulus type for its share of the session; scratch files go to ``scratch``."""
    frames = max(1, round(settings.minutes * 60.0 * settings.rate / len(settings.types)))
    shown = stimulus(kind, session.geometry, settings.rate, session.calibration)
    size = session.geometry.size
    covariates = {
        "stim": _scratch(scratch / f"{kind}.stim", (frames, size, size), torch.uint8),
        "robs": _scratch(scratch / f"{kind}.robs", (frames, settings.units), torch.float32),
        "eyepos": torch.empty(frames, 2),
        "dpi_valid": torch.empty(frames),
        "trial_inds": torch.empty(frames, dtype=torch.int64),
        "t_bins": torch.empty(frames, dtype=torch.float64),
        "rate_true": _scratch(scratch / f"{kind}.rate", (frames, settings.units), torch.float32),
    }
    drive, gain = (
        _scratch(scratch / f"{kind}.{name}", (frames, settings.units), torch.float32) for name in ("drive", "gain")
    )
    complete = torch.zeros(frames, dtype=torch.bool)
    clock, start = 10.0 + 10_000.0 * settings.types.index(kind), 0
    lengths = trial_lengths(stream(settings.seed, session.index, kind, "trials"), frames, settings.rate)
    for number, length in enumerate(lengths):
        at = slice(start, start + length)
        rng = stream(settings.seed, session.index, kind, "gaze", number)
        gaze = trial_gaze(rng, length, settings.rate, shown.style)
        seen, valid = track(rng, gaze, settings.rate)
        covariates["eyepos"][at] = torch.tensor(seen, dtype=torch.float32)
        covariates["dpi_valid"][at] = torch.tensor(valid, dtype=torch.float32)
        covariates["trial_inds"][at] = number
        covariates["t_bins"][at] = clock + torch.arange(length, dtype=torch.float64) / settings.rate
        complete[at] = _complete(valid, settings.rate)
        gain[at] = session.population.gain(gaze.position)
        rng = stream(settings.seed, session.index, kind, "screen", number)
        pixels = gaze.position[:, ::-1] * np.array([-1.0, 1.0]) * session.geometry.per_degree
        drive[at] = _show(session, shown.chunks(rng, pixels), covariates, at, frames, scratch / kind)
        start += length
        clock += length / settings.rate + PAUSE
    return Recording(kind, covariates, drive, gain, complete)


def _complete(valid: np.ndarray[tuple[int], np.dtype[np.bool_]], rate: float) -> Tensor:
    taps = round(HISTORY * rate)
    run = np.convolve(valid, np.ones(taps))[: len(valid)]
    return torch.tensor(run >= taps - 0.5)


def _show(
    session: SimulatedSession,
    chunks: Iterator[tuple[Tensor, dict[str, Tensor]]],
    covariates: dict[str, Tensor],
    at: slice,
    frames: int,
    scratch: Path,
) -> Tensor:
    """Fill one trial's stored patches and labels; the units' visual drive ``(n, units)``."""
    rows, columns = (session.calibration.matrix(session.geometry, axis) for axis in (0, 1))
    projections = []
    start = at.start
    for window, labels in chunks:
        part = slice(start, start + len(window))
        covariates["stim"][part] = stored(window, rows, columns)
        for name, value in labels.items():
            if name not in covariates:
                path = scratch.with_name(f"{scratch.name}.{name}")
                covariates[name] = _scratch(path, (frames, *value.shape[1:]), value.dtype)
            covariates[name][part] = value
        projections.append(session.population.projections(window))
        start += len(window)
    return session.population.drive(torch.cat(projections))


def fire(session: SimulatedSession, recordings: list[Recording], settings: SimulationConfig) -> None:
    """Turn drive into visual rates, and add ``rate_true`` and ``robs`` to the recordings of one session.

    All stimulus types share a unit's scale, so that it has its own mean rate over the session. Works in blocks on
    mapped tensors; afterwards ``drive`` holds the visual rate in spikes a bin, and ``gain`` has mean 1.
    """
    mean = _mean([recording.drive for recording in recordings])
    for recording in recordings:
        for block in blocks(recording.drive):
            recording.drive[block] = saturated(recording.drive[block], mean)
    mean, gain = (_mean([getattr(recording, name) for recording in recordings]) for name in ("drive", "gain"))
    for recording in recordings:
        rng = stream(settings.seed, session.index, recording.kind, "spikes")
        rate, robs = recording.covariates["rate_true"], recording.covariates["robs"]
        for block in blocks(recording.drive):
            recording.drive[block] = visual_rate(recording.drive[block], mean, session.units, settings.rate)
            recording.gain[block] /= gain
            rate[block] = recording.drive[block] * recording.gain[block]
            robs[block] = torch.tensor(rng.poisson(rate[block].numpy()), dtype=torch.float32)


def blocks(tensor: Tensor) -> list[slice]:
    """Slices of at most `BLOCK` frames that cover the first axis."""
    return [slice(start, start + BLOCK) for start in range(0, len(tensor), BLOCK)]


def _mean(parts: list[Tensor]) -> Tensor:
    """Mean over the frames of each part, then over parts, ``(units,)``."""
    means = [sum((part[at].double().sum(0) for at in blocks(part)), torch.zeros(())) / len(part) for part in parts]
    return torch.stack(means).mean(0).clamp_min(1e-9).float()
