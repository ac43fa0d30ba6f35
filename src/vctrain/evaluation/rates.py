"""Which rows has each scored frame of a session: rates beside counts, in order?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.evaluation.passes import predictions
from vctrain.models.build import AnyTwin


@dataclass(frozen=True)
class Rows:
    """Scored frames of one clip, in order; rates and counts (n, U) are spikes a bin."""

    first: int
    """Number of the first of them among all scored frames of the split."""
    frames: NDArray[np.int64]
    """(n,) global frames."""
    rhat: NDArray[np.float32]
    robs: NDArray[np.float32]
    dfs: NDArray[np.bool_]
    """(n, U): which entries count."""
    rate_true: NDArray[np.float32] | None


def rates_of(
    twin: AnyTwin, session: Session, split: str, device: torch.device, *, types: tuple[str, ...] | None = None
) -> Iterator[Rows]:
    """Every scored frame of ``split`` once, in order, a clip at a time; of some ``types`` of stimulus only, if given.

    Memory and errors as `predictions`.
    """
    scored = session.scored(split, twin.context)

    def wanted(start: int, stop: int, kind: str) -> bool:
        return types is None or kind in types

    for found in predictions(twin, session, split, device, wanted=wanted):
        length = found.robs.shape[1]
        first = scored.count(np.zeros_like(found.starts), found.starts)
        number = session.clip_counts(found.starts, length, twin.context)
        for clip, (start, kind) in enumerate(zip(found.starts.tolist(), found.kinds, strict=True)):
            if not wanted(start, start + length, kind):
                continue
            frames = np.arange(start, start + length)
            counted = scored.contains(frames)
            # what follows the trial's end belongs to other clips
            counted &= np.cumsum(counted) <= number[clip]
            yield Rows(
                int(first[clip]),
                frames[counted],
                found.rhat[clip].numpy()[counted],
                found.robs[clip].numpy()[counted],
                found.counted[clip].numpy()[counted],
                None if found.rate_true is None else found.rate_true[clip].numpy()[counted],
            )
