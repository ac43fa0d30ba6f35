"""What does a checkpoint predict, summed over each trial: what figures of bits per spike and their certainty need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.data.loader import EvalLoader
from vctrain.data.session import Session
from vctrain.errors import NumericsError
from vctrain.metrics.bps import poisson_sums
from vctrain.models.build import AnyTwin
from vctrain.training.engine import build_trainer, leave, world
from vctrain.training.loaders import validation_loader

Floats = NDArray[np.float64]
Scales = Mapping[int, Floats]
"""Gain and offset (2, U), in spikes a bin, of the units of a session, by its index; of sessions left out 1 and 0."""
SUMS = ("frames", "spikes", "rate", "log_likelihood")
"""n, sum r, sum rhat, sum r ln max(rhat, 1e-8): the second axis of `TrialSums`."""


@dataclass(frozen=True)
class TrialSums:
    """Sums over the scored frames of each trial of a session, in float64."""

    session: str
    subject: str
    cids: tuple[int, ...]
    trials: tuple[tuple[str, float], ...]
    """Type of stimulus and number of each trial that has a scored frame."""
    sums: Floats
    """(n, 4, U)."""
    oracle: Floats | None
    """(n, 4, U) with the true rate as prediction; None where it is not known."""

    def of_types(self, types: Sequence[str]) -> TrialSums:
        """The trials of some types of stimulus."""
        keep = np.array([kind in types for kind, _ in self.trials], bool)
        trials = tuple(trial for trial, kept in zip(self.trials, keep, strict=True) if kept)
        oracle = None if self.oracle is None else self.oracle[keep]
        return replace(self, trials=trials, sums=self.sums[keep], oracle=oracle)

    def of_cids(self, cids: Sequence[int]) -> TrialSums:
        """Some units, in the order of ``cids``."""
        place = [self.cids.index(cid) for cid in cids]
        oracle = None if self.oracle is None else self.oracle[:, :, place]
        return replace(self, cids=tuple(cids), sums=self.sums[:, :, place], oracle=oracle)


class _Scoring(pl.LightningModule):
    """Adds the sums of each clip to those of its trial."""

    def __init__(
        self, twin: AnyTwin, sessions: Mapping[int, Session], loader: EvalLoader, scales: Scales | None = None
    ) -> None:
        super().__init__()
        self.scales = {index: torch.from_numpy(np.asarray(scale)) for index, scale in (scales or {}).items()}
        self.twin, self.sessions, self.loader = twin, dict(sessions), loader
        self.sums: dict[int, Tensor] = {}
        self.oracle: dict[int, Tensor] = {}

    def on_validation_start(self) -> None:
        for index, session in self.sessions.items():
            shape = (len(session.labels), len(SUMS), session.n_units)
            self.sums[index] = torch.zeros(shape, dtype=torch.float64, device=self.device)
            self.oracle[index] = torch.zeros_like(self.sums[index])

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        parts = tuple(trimmed(part, self.loader.context - self.twin.context) for part in batch.parts)
        for part, rate in zip(parts, self.twin(parts), strict=True):
            place, starts = self.loader.starts(batch.step)
            trial = torch.from_numpy(self.loader.sessions[place].trials_at(starts)).to(self.device)
            if part.session in self.scales:
                gain, offset = self.scales[part.session].to(self.device)
                rate = gain * rate + offset
            for sums, predicted in ((self.sums, rate), (self.oracle, part.rate_true)):
                if predicted is not None:
                    of_clips = poisson_sums(predicted, part.robs, part.dfs, dim=1)
                    sums[part.session].index_add_(0, trial, of_clips[: len(starts)])

    def on_validation_epoch_end(self) -> None:
        """Sums of all processes. Raises NumericsError for rates that are not finite."""
        for index in self.sessions:
            for found in (self.sums[index], self.oracle[index]):
                if torch.distributed.is_available() and torch.distributed.is_initialized():
                    torch.distributed.all_reduce(found)
            if not bool(self.sums[index].isfinite().all()):
                unit = int((~self.sums[index].isfinite()).any(0).any(0).nonzero()[0])
                session = self.sessions[index]
                raise NumericsError(
                    f"session {session.name}: predicted rates of cid {session.cids[unit]} are not finite",
                    hint="evaluate another checkpoint of the run",
                )


def trimmed(part: SessionClips, extra: int) -> SessionClips:
    """The clips without their first ``extra`` frames of context."""
    if extra == 0:
        return part
    return replace(
        part,
        stim=None if part.stim is None else part.stim[:, extra:],
        behavior=None if part.behavior is None else part.behavior[:, extra:],
    )


def score(
    twin: AnyTwin,
    sessions: Sequence[Session],
    split: str,
    *,
    context: int | None = None,
    scales: Scales | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
) -> list[TrialSums]:
    """The sums over trials of every frame of ``split`` that counts, each exactly once, on any number of processes.

    ``context`` asks for frames with more context than the twin's own, so that models are compared on the same frames;
    ``scales`` gives rates a gain and an offset first.
    Memory does not grow with frames, only with trials. Raises NumericsError for rates that are not finite.
    """
    rank, world_size = world()
    loader = validation_loader(sessions, split, twin, rank, world_size, context=context)
    module = _Scoring(twin, {session.index: session for session in sessions}, loader, scales)
    trainer = build_trainer(accelerator=accelerator, devices=devices, enable_checkpointing=False)
    trainer.validate(module, dataloaders=loader, verbose=False)
    leave()
    return [_collected(session, module) for session in sessions]


def _collected(session: Session, module: _Scoring) -> TrialSums:
    sums: Any = module.sums[session.index].cpu().numpy()
    there = sums[:, 0].max(1) > 0
    oracle = module.oracle[session.index].cpu().numpy()[there] if session.has_rate_true else None
    trials = tuple(trial for trial, seen in zip(session.labels, there, strict=True) if seen)
    return TrialSums(session.name, session.subject, session.cids, trials, sums[there], oracle)
