"""How are the trials of a split cut into clips that hold every scored frame once?"""

from __future__ import annotations

import numpy as np

from vctrain.data.intervals import Ints
from vctrain.data.session import Session


def tiles(session: Session, split: str, context: int, frames: int) -> Ints:
    """Starts of consecutive clips that hold every scored frame of `split` once; clips that would score none are left
    out."""
    segments = session.segments(split)
    first = segments[:, 0] + context
    number = np.maximum(-(-(segments[:, 1] - first) // frames), 0)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    starts: Ints = np.repeat(first, number) + within * frames
    return starts[session.clip_counts(starts, frames, context) > 0]
