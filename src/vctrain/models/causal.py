"""How does a stage go on where the clips before left off, so that each frame of a long clip is computed once?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

Past = Any
"""What a stage keeps of the frames it has read; None before the first."""


class Causal(nn.Module):
    """A stage whose output at a frame depends on that frame and the ``history`` before it, and has no memory of others:
    ``(n, C, T, ...)`` to ``(n, C', T - history, ...)``."""

    history: int = 0

    def resume(self, x: Tensor, *beside: Tensor, past: Past) -> tuple[Tensor, Past]:
        """``forward`` of frames that follow those that ``past`` was returned for, and what the next call needs.

        The first call (``past`` None) consumes ``history`` frames, the others none.
        """
        if self.history == 0:
            return self(x, *beside), None
        x = x if past is None else torch.cat([past, x], dim=2)
        return self(x, *beside), x[:, :, x.shape[2] - self.history :]


def resume_all(stages: Iterable[Any], x: Tensor, past: Past) -> tuple[Tensor, list[Past]]:
    """``resume`` of stages one after the other."""
    kept: list[Past] = []
    for place, stage in enumerate(stages):
        x, own = stage.resume(x, past=None if past is None else past[place])
        kept.append(own)
    return x, kept
