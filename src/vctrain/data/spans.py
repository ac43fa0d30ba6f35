"""Which stored frames do many clips at once read, and which of theirs lie outside their trial?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Ints

Read = Callable[[int, Ints, NDArray[Any]], None]
"""Fills an array (m, length, ...) with frames (m, length) of the recording with that number."""


@dataclass(frozen=True)
class Spans:
    """Frames of clips, each inside its trial; all are global frames."""

    frames: Ints
    """(n, length): the frame at the edge of the trial stands for those that the trial does not have."""
    outside: NDArray[np.bool_] | None
    """(n, length): where the trial has no frame; None: nowhere."""
    parts: tuple[tuple[int, Ints | slice, int], ...]
    """For each recording that clips lie in: its number, which clips, and the global frame at which it begins."""

    @property
    def shape(self) -> tuple[int, int]:
        """Clips and frames of each."""
        n, length = self.frames.shape
        return n, length

    def columns(self, start: int, stop: int) -> Spans:
        """The frames [start, stop) of each clip."""
        outside = None if self.outside is None else self.outside[:, start:stop]
        if outside is not None and not outside.any():
            outside = None
        return Spans(self.frames[:, start:stop], outside, self.parts)

    def fill(self, out: NDArray[Any], read: Read, padding: float) -> NDArray[Any]:
        """`out` (n, length, ...) with what `read` finds, and `padding` outside the trials."""
        for place, rows, offset in self.parts:
            frames = self.frames[rows]
            if offset:
                frames = frames - offset
            if len(frames) == len(out):
                read(place, frames, out)
            else:
                block = np.empty((len(frames), *out.shape[1:]), out.dtype)
                read(place, frames, block)
                out[rows] = block
        if self.outside is not None:
            out[self.outside] = padding
        return out


def spans_of(offsets: Sequence[int], first: Ints, lows: Ints, highs: Ints, length: int) -> Spans:
    """The frames `first` .. `first + length`, (n,), of clips whose trials are [lows, highs).

    `offsets` are the global frames at which the recordings of the session begin.
    """
    frames, outside = first[:, None] + np.arange(length), None
    if ((first < lows) | (first + length > highs)).any():
        wanted = frames
        frames = np.minimum(np.maximum(wanted, lows[:, None]), highs[:, None] - 1)
        outside = frames != wanted
    if len(offsets) == 1:
        return Spans(frames, outside, ((0, slice(None), offsets[0]),))
    kind = np.searchsorted(offsets, lows, side="right") - 1
    return Spans(frames, outside, tuple((k, np.flatnonzero(kind == k), offsets[k]) for k in np.unique(kind).tolist()))
