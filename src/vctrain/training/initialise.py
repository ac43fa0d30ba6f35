"""What a new twin takes from training frames before its first step: mean rates, and where each unit looks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vctrain.config.schema import InitConfig
from vctrain.data.clips import SessionClips
from vctrain.data.loader import EvalLoader, Reads
from vctrain.data.rates import training_rates
from vctrain.data.session import Session
from vctrain.errors import ContractError
from vctrain.models.adapter import contrast
from vctrain.models.blocks import ConvBlock
from vctrain.models.convnet import Convnet
from vctrain.models.frontend import TemporalBank
from vctrain.models.twin import Twin
from vctrain.stats.maps import (
    MapSums,
    Positions,
    accumulate,
    find_positions,
    main_components,
    patches,
    time_courses,
)

MAP_SECONDS = 0.12
"""Stimulus history read for the maps of a twin without temporal kernels."""


@dataclass(frozen=True)
class InitReport:
    """How many units of a session were placed by their own map, and how many at the session's median."""

    session: str
    units: int
    mapped: int

    def __str__(self) -> str:
        if self.mapped == self.units:
            return f"{self.session}: all {self.units} units placed by their maps"
        where = "the median of the others" if self.mapped else "the centre"
        return f"{self.session}: {self.mapped} of {self.units} units placed by their maps, the rest at {where}"


@dataclass(frozen=True)
class KernelReport:
    """How many temporal and stem filters started from maps, and why not all."""

    temporal: int
    stem: int
    reason: str = ""

    def __str__(self) -> str:
        started = f"{self.temporal} temporal kernels and {self.stem} stem filters start from maps"
        return f"kernels: {started}; {self.reason}" if self.reason else f"kernels: {started}"


def _lags(twin: Twin, rate_hz: float) -> int:
    bank = isinstance(twin.frontend, TemporalBank)
    wanted = twin.frontend.taps if bank else max(round(MAP_SECONDS * rate_hz), 6)
    return min(wanted, twin.context + 1)


@dataclass
class _Moments:
    """Running sums of behaviour over valid frames, float64 ``(D,)``."""

    n: float
    total: Tensor
    squares: Tensor

    def read(self, part: SessionClips) -> None:
        """Add the scored frames of ``part``; a session without behaviour adds nothing."""
        if part.behavior is None:
            return
        rows = part.behavior[:, -part.robs.shape[1] :][(part.dfs > 0).any(-1)].double()
        self.n += len(rows)
        self.total += rows.sum(0)
        self.squares += rows.square().sum(0)

    def mean_std(self) -> tuple[Tensor, Tensor]:
        mean = self.total / max(self.n, 1.0)
        return mean, (self.squares / max(self.n, 1.0) - mean.square()).clamp_min(0).sqrt()


def _training_clips(session: Session, lags: int, frames: int, stim: bool = True) -> Iterator[SessionClips]:
    """Training clips with ``lags`` - 1 frames of history, about ``frames`` scored frames spread over the session."""
    loader = EvalLoader((session,), "train", context=lags - 1, frames=256, clips=4, reads=Reads(stim=stim))
    keep = max(1, math.ceil(len(loader) * 1024 / max(frames, 1)))
    for group in range(0, len(loader), keep):
        yield from loader.batch(group).parts


def _maps_input(clips: Iterator[SessionClips], moments: _Moments | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for part in clips:
        if moments is not None:
            moments.read(part)
        yield contrast(part), part.robs, part.dfs


def initialise(
    twin: Twin, sessions: Sequence[Session], config: InitConfig, which: Collection[int] | None = None
) -> list[InitReport | KernelReport]:
    """What the twin takes from training frames: biases from rates, behaviour's moments, positions and kernels from
    maps.

    Reads about ``config.map_minutes`` of training frames a session, of the sessions ``which`` (by index; None: all).
    Returns what was placed, a report a session, and
    a report of the kernels; a twin that reads no stimulus has no maps and no report.
    Raises `ContractError` for a session without training frames.
    """
    reports: list[InitReport | KernelReport] = []
    courses, surroundings = [], []
    width = twin.modulator.encoder.mean.numel() if twin.modulator is not None else 0
    moments = _Moments(0.0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64))
    for index, session in enumerate(sessions):
        if which is not None and index not in which:
            continue
        twin.set_rates(index, torch.from_numpy(training_rates(session)))
        frames = round(config.map_minutes * 60 * session.rate_hz)
        if not twin.reads_stimulus:
            for part in _training_clips(session, 1, frames, stim=False):
                moments.read(part)
            continue
        lags = _lags(twin, session.rate_hz)
        clips = _training_clips(session, lags, frames)
        sums = accumulate(_maps_input(clips, moments if width else None), lags)
        if sums is None:
            raise ContractError(
                f"session {session.name}: no training frame for the maps of its units",
                hint="use a model with less context, or longer trials",
            )
        positions = find_positions(sums, session.height, session.width)
        if config.readout_positions == "maps" and twin.readouts[index].centres:
            twin.set_positions(index, positions.center)
            reports.append(InitReport(session.name, session.n_units, int(positions.clear.sum())))
        courses.append(time_courses(sums, positions))
        surroundings.append(_surroundings(twin, session, sums, positions))
    if twin.modulator is not None and moments.n:
        twin.modulator.encoder.set_moments(*moments.mean_std())
    if config.kernels == "maps" and twin.reads_stimulus and which is None:
        reports.append(_set_kernels(twin, torch.cat(courses), torch.cat(surroundings)))
    return reports


def _surroundings(twin: Twin, session: Session, sums: MapSums, positions: Positions) -> Tensor:
    """Averages around the units on the core's grid, the size of a stem kernel; ``(n clear, lags, side, side)``."""
    stem = _stem(twin)
    side = 1 if stem is None else stem.kernel.raw.shape[-1]
    step = ((session.height - 1) / max(twin.grid - 1, 1), (session.width - 1) / max(twin.grid - 1, 1))
    return patches(sums, positions, session.height, session.width, side, step)


def _stem(twin: Twin) -> ConvBlock | None:
    """The stem, if its filters are plain images: one square frame of each of the frontend's channels."""
    stem = twin.convnet.stem if isinstance(twin.convnet, Convnet) else None
    if stem is None or stem.pointwise is not None or stem.groups > 1 or stem.dilation[1:] != (1, 1):
        return None
    taps, height, width = stem.kernel.raw.shape[2:]
    return stem if taps == 1 and height == width else None


def _set_kernels(twin: Twin, courses: Tensor, surroundings: Tensor) -> KernelReport:
    """Start the temporal bank, and the stem on top of it, in the subspace of the units' own averages.

    The temporal kernels are the main time courses of the averages; the stem's filters the main components of the
    averages seen through those kernels. Channels for which there is no component keep what their config gave them.
    """
    if not isinstance(twin.frontend, TemporalBank):
        return KernelReport(0, 0, "only those of frontend learnable_temporal, and a stem behind it, can")
    if twin.frontend.bands > 1:
        return KernelReport(0, 0, "maps are not split into bands as split_mp splits the stimulus")
    if len(courses) == 0:
        return KernelReport(0, 0, "no unit has a clear map")
    bank = twin.frontend.kernel
    main = main_components(courses, bank.raw.shape[0])
    bank.set_first(F.pad(main, (twin.frontend.taps - main.shape[1], 0))[:, None])
    stem = _stem(twin)
    if stem is None:
        return KernelReport(len(main), 0, "no stem of one square frame, conv standard, without groups or dilation")
    kernels = bank()[:, 0].detach()
    kernels = kernels[:, twin.frontend.taps - surroundings.shape[1] :] / kernels.norm(dim=1, keepdim=True)
    seen = torch.einsum("ulyx,kl->ukyx", surroundings, kernels)
    filters = main_components(seen.flatten(1), stem.kernel.raw.shape[0])
    stem.kernel.set_first(filters.view(len(filters), *stem.kernel.raw.shape[1:]))
    return KernelReport(len(main), len(filters))
