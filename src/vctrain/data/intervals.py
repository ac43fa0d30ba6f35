"""How are frames counted and looked up without holding anything per frame? As sorted, disjoint intervals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vctrain.data.lookup import Lookup

Ints = NDArray[np.int64]
CHUNK_FRAMES = 1 << 18


class Intervals:
    """Sorted, disjoint half-open intervals [start, stop) of int64 frames."""

    def __init__(self, table: Ints) -> None:
        table = np.ascontiguousarray(np.asarray(table, np.int64).reshape(-1, 2))
        self.table = table[table[:, 1] > table[:, 0]]
        self.starts = np.ascontiguousarray(self.table[:, 0])
        self.stops = np.ascontiguousarray(self.table[:, 1])
        self._before = np.concatenate([[0], np.cumsum(self.stops - self.starts)]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def _starts_up_to(self) -> Lookup:
        return Lookup(self.starts)

    @functools.cached_property
    def _numbers_up_to(self) -> Lookup:
        return Lookup(self._before)

    @property
    def total(self) -> int:
        """Frames inside."""
        return int(self._before[-1])

    def find(self, frames: Ints) -> Ints:
        """The index of the last interval that starts at or before each frame (-1: none does)."""
        return self._starts_up_to(frames) - 1

    def contains(self, frames: Ints) -> NDArray[np.bool_]:
        """Whether each frame is inside an interval."""
        if not len(self):
            return np.zeros(np.shape(frames), bool)
        found = self.find(frames)
        inside: NDArray[np.bool_] = (found >= 0) & (frames < self.stops[np.maximum(found, 0)])
        return inside

    def hold(self, first: Ints, length: int) -> bool:
        """Whether each run of ``length`` frames from ``first`` (n,) lies inside one interval."""
        if not len(self):
            return not len(first)
        found = self.find(first)
        return bool(not len(first) or (found.min() >= 0 and (first + length <= self.stops[found]).all()))

    def count(self, starts: Ints, stops: Ints) -> Ints:
        """How many frames of each [start, stop) are inside."""
        # both at once; a row of the table is one access
        first, last = self._up_to(np.array([starts, stops], np.int64))
        return last - first

    def _up_to(self, frames: Ints) -> Ints:
        if not len(self):
            return np.zeros(np.shape(frames), np.int64)
        found = np.maximum(self.find(frames), 0)
        table = self.table.take(found, axis=0)
        start, stop = table[..., 0], table[..., 1]
        return self._before[found] + np.minimum(np.maximum(frames, start), stop) - start

    def at(self, ranks: Ints) -> Ints:
        """The frames with these numbers among the frames inside, counted from 0."""
        interval = self._numbers_up_to(ranks) - 1
        return self.starts[interval] + ranks - self._before[interval]

    def before(self, frames: Ints) -> Ints:
        """How many frames inside come before each of `frames`."""
        return self._up_to(np.asarray(frames))

    def trimmed(self, first: int, last: int = 0) -> Intervals:
        """Every interval without its first `first` and last `last` frames."""
        return Intervals(np.stack([self.starts + first, self.stops - last], 1))

    def intersection(self, other: Intervals) -> Intervals:
        """The frames inside both."""
        if not len(self) or not len(other):
            return Intervals(np.zeros((0, 2), np.int64))
        first = np.searchsorted(other.stops, self.starts, side="right")
        last = np.searchsorted(other.starts, self.stops, side="left")
        repeats = np.maximum(last - first, 0)
        mine = np.repeat(np.arange(len(self)), repeats)
        offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        theirs = np.repeat(first, repeats) + offset
        return Intervals(
            np.stack(
                [
                    np.maximum(self.starts[mine], other.starts[theirs]),
                    np.minimum(self.stops[mine], other.stops[theirs]),
                ],
                1,
            )
        )

    def cover(self, size: int) -> Iterator[tuple[int, Ints]]:
        """Lengths and starts (n,) of pieces that hold every frame, and at the end of an interval some twice: so there
        are few lengths, powers of two up to `size`, which is one."""
        lengths = self.stops - self.starts
        pieces = 2 ** np.log2(np.minimum(lengths, size)).astype(np.int64)
        for piece in np.unique(pieces).tolist():
            mine = pieces == piece
            number = -(-lengths[mine] // piece)
            within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
            start, last = np.repeat(self.starts[mine], number), np.repeat(self.stops[mine] - piece, number)
            yield piece, np.minimum(start + within * piece, last)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """The intervals in order, cut into pieces of at most `size` frames."""
        for start, stop in self.table.tolist():
            for first in range(start, stop, size):
                yield first, min(first + size, stop)


def runs_of_equal(read: Callable[[int, int], NDArray[np.generic]], n_frames: int) -> tuple[Ints, NDArray[np.generic]]:
    """The maximal runs of equal values of a signal, as (n, 2) frames and the value of each; read chunk by chunk."""
    edges: list[Ints] = []
    values: list[NDArray[np.generic]] = []
    last: NDArray[np.generic] | None = None
    for start in range(0, n_frames, CHUNK_FRAMES):
        chunk = read(start, min(start + CHUNK_FRAMES, n_frames))
        change = np.flatnonzero(chunk[1:] != chunk[:-1]) + 1
        if last is None or chunk[0] != last:
            change = np.concatenate([[0], change])
        edges.append(change.astype(np.int64) + start)
        values.append(chunk[change])
        last = chunk[-1]
    if not edges:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    starts = np.concatenate(edges)
    return np.stack([starts, np.append(starts[1:], n_frames)], 1), np.concatenate(values)
