"""Into clips of which length, and starting where, are the trials of a split cut to hold every scored frame once?"""

from __future__ import annotations

import numpy as np

from vctrain.data.intervals import Ints
from vctrain.data.session import Session

_HARDLY_MORE = 1.05


def tiles(session: Session, split: str, context: int, frames: int) -> Ints:
    """Starts of consecutive clips that hold every scored frame of `split` once; clips that would score none are left
    out."""
    segments = session.segments(split)
    first = segments[:, 0] + context
    number = np.maximum(-(-(segments[:, 1] - first) // frames), 0)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    starts: Ints = np.repeat(first, number) + within * frames
    return starts[session.clip_counts(starts, frames, context) > 0]


def clip_frames(session: Session, split: str, context: int, *, least: int, most: int) -> int:
    """The number of scored frames of a clip, `least` to `most`, with which few frames are read: long clips repeat
    little context, clips that divide the trials well need little filling. It is the longest that reads hardly more than
    the best one; where no trial scores as many as `least`, what the longest does.

    It depends on the trials of the session alone, so that its figures do not depend on what is evaluated with it.
    """
    segments = session.segments(split)
    scored = segments[:, 1] - segments[:, 0] - context
    scored, times = np.unique(scored[scored > 0], return_counts=True)
    if not len(scored):
        return least
    longest = int(scored[-1])
    tried = np.arange(min(least, longest), min(most, longest) + 1)
    read = [(-(-scored // frames) * times).sum() * (context + frames) for frames in tried.tolist()]
    return int(tried[np.array(read) <= _HARDLY_MORE * min(read)].max())
