"""Do two types of a session hold the same frames?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vctrain.data.recordings import Recording

_FRAMES = 512
"""Frames compared, spread over the time that both cover."""
_LEAST_WITH_SPIKES = 10


def overlap_of(one: Recording, other: Recording) -> str | None:
    """How frames of `one` are in `other` too, in words; None if they are not.

    Types that run on clocks of their own may cover the same times, so frames are the same only if the counts of all
    units at these times are.
    """
    if one.n_units != other.n_units:
        return None
    if one.fingerprint() == other.fingerprint():
        return f"holds the same recording as {other.kind}"
    times, theirs = _clock(one), _clock(other)
    if times is None or theirs is None:
        return None
    if times[0] > theirs[-1] or theirs[0] > times[-1]:
        return None
    place = np.clip(np.searchsorted(theirs, times), 1, len(theirs) - 1)
    place -= times - theirs[place - 1] < theirs[place] - times
    both = np.flatnonzero(np.abs(times - theirs[place]) < np.median(np.diff(times)) / 2)
    if not len(both):
        return None
    frames = both[np.unique(np.linspace(0, len(both) - 1, _FRAMES).astype(np.int64))]
    ours = one.robs[frames]
    with_spikes = (ours > 0).any(axis=1)
    same = with_spikes & (ours == other.robs[place[frames]]).all(axis=1)
    if with_spikes.sum() < _LEAST_WITH_SPIKES or same.sum() < 0.9 * with_spikes.sum():
        return None
    return f"holds frames of {other.kind} too, from {times[both[0]]:.6g} s to {times[both[-1]]:.6g} s"


def _clock(recording: Recording) -> NDArray[np.float64] | None:
    """Seconds of each frame of the file, if they are known and in order."""
    stored = recording.t_bins
    if stored is None or len(stored) < 2:
        return None
    seconds: NDArray[np.float64] = stored.astype(np.float64)
    return seconds if (np.diff(seconds) > 0).all() else None
