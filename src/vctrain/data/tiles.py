"""Into clips of which length, and starting where, are the trials of a split cut to hold every scored frame once?"""

from __future__ import annotations

import numpy as np

from vctrain.data.intervals import Ints
from vctrain.data.session import Session

_LENGTHS, _MORE_PARTS = 64, 4
"""How many lengths of trials are divided, and into how many more parts than they must be."""
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


def clip_frames(session: Session, split: str, context: int, *, most: int, clips: int) -> int:
    """The number of scored frames of a clip, at most `most`, with which few frames are read: long clips repeat little
    context, clips that divide the trials well need little filling. A group has `clips` clips. It is the longest that
    reads hardly more than the best one: what needs frames after a scored one finds them in its clip.

    It depends on the trials of the session alone, so that its figures do not depend on what is evaluated with it.
    """
    lengths = session.segments(split)
    scored = lengths[:, 1] - lengths[:, 0] - context
    scored, times = np.unique(scored[scored > 0], return_counts=True)
    if not len(scored):
        return most
    typical = scored[:: max(1, len(scored) // _LENGTHS)]
    parts = np.arange(1, -(-int(scored[-1]) // most) + _MORE_PARTS)
    tried = np.unique(np.append(-(-typical[:, None] // parts), most))
    tried = tried[tried <= most]
    number = (-(-scored[:, None] // tried) * times[:, None]).sum(0)
    read = -(-number // clips) * clips * (context + tried)
    return int(tried[read <= _HARDLY_MORE * read.min()].max())
