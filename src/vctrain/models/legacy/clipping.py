"""Which part of some clips belongs to a piece of their scored frames, or to the spikes before one of them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vctrain.data.clips import SessionClips


def cut(part: SessionClips, start: int, frames: int) -> SessionClips:
    """The clips of (at most) ``frames`` scored frames from the ``start``-th on, with what lies before them."""
    scored = part.robs.shape[1]
    stop = min(start + frames, scored)
    surplus, span = scored - stop, stop - start

    def piece(values: Tensor | None) -> Tensor | None:
        """Values of frames that end with the last scored one."""
        if values is None:
            return None
        before = values.shape[1] - scored
        return values[:, values.shape[1] - surplus - span - before : values.shape[1] - surplus]

    return replace(
        part,
        stim=piece(part.stim),
        history=piece(part.history),
        features=piece(part.features),
        behavior=piece(part.behavior),
        robs=part.robs[:, start:stop],
        dfs=part.dfs[:, start:stop],
        rate_true=None,
    )


def spikes(part: SessionClips, scored: int, lags: Sequence[int]) -> Tensor | None:
    """Spikes before each scored frame, ``(n * scored, lags, U)`` in the order of ``lags``; None where none are read."""
    if not lags or part.history is None:
        return None
    first = part.history.shape[1] - scored
    frames = torch.arange(scored)[:, None] + first - torch.tensor(lags)[None]
    return part.history[:, frames.to(part.history.device)].flatten(0, 1)
