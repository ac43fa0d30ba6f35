"""In which frame was each spike fired?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.data.inspection.timeline import GAP
from vctrain.data.intervals import Ints

Times = NDArray[np.float64]
Counts = NDArray[np.float32]


def pauses(times: Times) -> NDArray[np.bool_]:
    """Whether the step after each frame but the last is longer than `GAP` median steps, (F - 1,)."""
    steps = np.diff(times)
    long: NDArray[np.bool_] = steps > GAP * np.median(steps)
    return long


def frame_ends(times: Times) -> Times:
    """When each frame ends, (F,) seconds, of at least two strictly increasing starts.

    A frame lasts until the next one starts. Before a pause, and at the end, it lasts as long as the median frame.

    >>> frame_ends(np.array([0.0, 1.0, 2.0, 7.0, 8.0])).tolist()
    [1.0, 2.0, 3.0, 8.0, 9.0]
    """
    lasting = times + np.median(np.diff(times))
    ends = np.append(times[1:], lasting[-1])
    before_pause = np.append(pauses(times), False)
    ends[before_pause] = lasting[before_pause]
    return ends


@dataclass(frozen=True)
class BinnedSpikes:
    """The frame of every spike of every unit, sorted; memory grows with spikes, not with frames."""

    frames: tuple[Ints, ...]
    n_frames: int
    outside: int
    """Spikes before the first frame or after the last."""
    paused: int
    """Spikes between two frames, in a pause."""

    @property
    def shape(self) -> tuple[int, int]:
        """(F, U)."""
        return self.n_frames, len(self.frames)

    @property
    def totals(self) -> Ints:
        """Spikes of each unit that are in a frame, (U,)."""
        return np.array([len(frames) for frames in self.frames], np.int64)

    def block(self, start: int, stop: int) -> Counts:
        """Spikes in frames [start, stop), (n, U)."""
        counts = np.empty((stop - start, len(self.frames)), np.float32)
        for unit, frames in enumerate(self.frames):
            first, last = np.searchsorted(frames, (start, stop))
            counts[:, unit] = np.bincount(frames[first:last] - start, minlength=stop - start)
        return counts


def bin_spikes(spike_times: Iterable[Times], times: Times) -> BinnedSpikes:
    """Each spike in the frame i with ``times[i] <= spike < frame_ends(times)[i]``; at most one has it.

    `spike_times` holds finite seconds for each unit, in any order; units are taken one by one.
    """
    ends = frame_ends(times)
    frames, outside, paused = [], 0, 0
    for spikes in spike_times:
        found = np.searchsorted(times, spikes, side="right") - 1
        beyond = (found < 0) | (spikes >= ends[-1])
        binned = ~beyond & (spikes < ends[found])
        outside += int(beyond.sum())
        paused += int((~beyond & ~binned).sum())
        frames.append(np.sort(found[binned]))
    return BinnedSpikes(tuple(frames), len(times), outside, paused)
