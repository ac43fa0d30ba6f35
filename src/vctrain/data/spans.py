"""Which stored frames do many clips at once read, and which of theirs lie outside their trial?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Ints

Read = Callable[[int, Ints, NDArray[Any]], None]
"""Fills an array (m, length, ...) with frames (m, length) of the recording with that number."""


class Spans:
    """Frames `first` .. `first + length` of clips, each inside its trial [low, high); all are global frames.

    `offsets` are the global frames at which the recordings of the session begin.
    """

    def __init__(self, offsets: Sequence[int], first: Ints, lows: Ints, highs: Ints, length: int) -> None:
        self.shape = (len(first), length)
        wanted = first[:, None] + np.arange(length)
        frames = np.clip(wanted, lows[:, None], highs[:, None] - 1)
        outside = frames != wanted
        self.outside: NDArray[np.bool_] | None = outside if outside.any() else None
        """(n, length): where a frame of the trial's edge stands for one that the trial does not have."""
        kind = np.searchsorted(offsets, lows, side="right") - 1
        self._parts = [
            (place, np.flatnonzero(kind == place), frames[kind == place] - offsets[place])
            for place in np.unique(kind).tolist()
        ]

    def fill(self, out: NDArray[Any], read: Read, padding: float) -> NDArray[Any]:
        """`out` (n, length, ...) with what `read` finds, and `padding` outside the trials."""
        for place, rows, frames in self._parts:
            if len(rows) == len(out):
                read(place, frames, out)
            else:
                block = np.empty((len(rows), *out.shape[1:]), out.dtype)
                read(place, frames, block)
                out[rows] = block
        if self.outside is not None:
            out[self.outside] = padding
        return out
