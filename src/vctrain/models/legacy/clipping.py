"""Which spikes of some clips come before each of their scored frames?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vctrain.data.clips import SessionClips


def spikes(part: SessionClips, scored: int, lags: Sequence[int]) -> Tensor | None:
    """Spikes before each scored frame, ``(n * scored, lags, U)`` in the order of ``lags``; None where none are read."""
    if not lags or part.history is None:
        return None
    first = part.history.shape[1] - scored
    frames = torch.arange(scored)[:, None] + first - torch.tensor(lags)[None]
    return part.history[:, frames.to(part.history.device)].flatten(0, 1)
