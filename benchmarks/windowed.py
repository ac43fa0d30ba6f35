"""The windowed reference: any twin, run as the system before this one ran its own, one window a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vctrain.data.clips import SessionClips
from vctrain.models.build import AnyTwin


def _unfolded(x: Tensor, scored: int, frames: int) -> Tensor:
    """The ``frames`` frames that end at each of the last ``scored``: ``(n, T, ...)`` to ``(n * scored, frames, ...)``,
    written out."""
    windows = x[:, -(scored + frames - 1) :].unfold(1, frames, 1)
    return windows.movedim(-1, 2).flatten(0, 1).contiguous()


def windows_of(part: SessionClips, context: int, history: int = 0) -> SessionClips:
    """Clips of one scored frame each: every scored frame of ``part`` with its own ``context`` frames before it, and the
    counts of ``history`` frames."""
    scored = part.robs.shape[1]

    def of(x: Tensor | None, frames: int) -> Tensor | None:
        return None if x is None else _unfolded(x, scored, frames)

    return replace(
        part,
        stim=of(part.stim, context + 1),
        behavior=of(part.behavior, context + 1),
        history=of(part.history, history + 1),
        robs=part.robs.flatten(0, 1)[:, None],
        dfs=part.dfs.flatten(0, 1)[:, None],
        rate_true=None if part.rate_true is None else part.rate_true.flatten(0, 1)[:, None],
    )


class Windowed(nn.Module):
    """The weights of ``twin``; every scored frame re-runs its whole window, and sessions go in separate passes.

    Takes and gives what a twin does. Rates are those of ``twin`` on clips of one scored frame: the same on longer clips
    too, but for recurrent units, which a longer clip gives a longer past. Passes hold ``at_once`` windows at most when
    no gradient is wanted (the system before this one evaluated 64 at a time).
    """

    def __init__(self, twin: AnyTwin, at_once: int = 64) -> None:
        super().__init__()
        self.twin, self.at_once = twin, at_once
        self.config, self.names, self.units = twin.config, twin.names, twin.units
        self.context, self.history_frames = twin.context, twin.history_frames
        self.reads_stimulus = twin.reads_stimulus

    def forward(self, parts: Sequence[SessionClips]) -> list[Tensor]:
        return [self._session(part) for part in parts]

    def _session(self, part: SessionClips) -> Tensor:
        n, scored = part.robs.shape[:2]
        windows = windows_of(part, self.context, self.history_frames)
        size = n * scored if torch.is_grad_enabled() else self.at_once
        rates = [self.twin([_piece(windows, start, size)])[0] for start in range(0, n * scored, size)]
        return torch.cat(rates).view(n, scored, -1)


def _piece(part: SessionClips, start: int, size: int) -> SessionClips:
    """Some of the clips."""
    names = ("stim", "robs", "dfs", "behavior", "rate_true", "history")
    cut = {name: x[start : start + size] for name in names if (x := getattr(part, name)) is not None}
    return replace(part, **cut)
