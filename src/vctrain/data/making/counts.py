"""How often does each unit fire in each frame, from spike times or from counts?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vctrain.data.making.arrays import Array, fine_enough, finite, numbers
from vctrain.data.making.binning import BinnedSpikes, Counts, Times, bin_spikes
from vctrain.errors import ContractError, UsageError

_ROWS = 1 << 16
SpikeTimes = Mapping[Any, object] | Iterable[object]


@dataclass(frozen=True)
class CountArray:
    """Counts (F, U) that a user gives."""

    values: Array
    outside: int = field(default=0, init=False)
    paused: int = field(default=0, init=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(F, U)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def totals(self) -> Array:
        """Spikes of each unit, (U,)."""
        return np.asarray(self.values.sum(axis=0, dtype=np.float64))

    def block(self, start: int, stop: int) -> Counts:
        """Counts of frames [start, stop), (n, U)."""
        return self.values[start:stop].astype(np.float32)


def counts_of(spike_times: SpikeTimes | None, counts: object, times: Times | None, n: int) -> CountArray | BinnedSpikes:
    """The counts of all units.

    Raises UsageError unless one of both is given, ContractError for what is no spike time or count, and if no spike
    is in a frame.
    """
    if (spike_times is None) == (counts is None):
        which = "both spike_times and counts are" if counts is not None else "neither spike_times nor counts is"
        raise UsageError(
            f"{which} given", hint="give spike_times, a list of times for each unit, or counts (frames, units)"
        )
    found: CountArray | BinnedSpikes
    if spike_times is None:
        found = CountArray(_checked_counts(counts, n))
    else:
        assert times is not None
        found = _binned(spike_times, times)
    if found.shape[1] == 0:
        raise ContractError("there is no unit", hint="give spike times or counts of at least one")
    if not found.totals.any():
        if found.outside + found.paused:
            assert isinstance(found, BinnedSpikes)
            assert times is not None
            raise ContractError(
                f"none of {found.outside + found.paused:,} spikes is in a frame; frames last from {times[0]:g} to "
                f"{times[-1]:g} s",
                hint="are spikes and frames both in seconds, on one clock?",
            )
        raise ContractError("no unit ever fires", hint="there is nothing to predict; give the spikes")
    return found


def _binned(spike_times: SpikeTimes, times: Times) -> BinnedSpikes:
    units = spike_times.values() if isinstance(spike_times, Mapping) else spike_times
    flat = isinstance(units, torch.Tensor) or (isinstance(units, np.ndarray) and units.dtype != object)
    if flat or (isinstance(units, list | tuple) and any(np.ndim(unit) == 0 for unit in units)):
        raise ContractError("spike_times holds numbers, not an array for each unit", hint="for one unit give [times]")

    names = spike_times if isinstance(spike_times, Mapping) else itertools.count()
    frame_seconds = float(np.median(np.diff(times)))

    def checked() -> Iterator[Times]:
        for unit, given in zip(names, units, strict=False):
            name = f"spike_times[{unit}]"
            spikes = numbers(name, given if np.size(given) else np.zeros(0), (None,), "seconds (spikes,)")
            fine_enough(name, finite(name, spikes, "spike"), frame_seconds)
            yield spikes.astype(np.float64)

    return bin_spikes(checked(), times)


def _checked_counts(counts: object, n: int) -> Array:
    values = numbers("counts", counts, (n, None), f"spike counts ({n}, units)")
    for start in range(0, n, _ROWS):
        rows = values[start : start + _ROWS]
        bad = ~np.isfinite(rows) | (rows < 0) | (rows != np.rint(rows)) if rows.dtype.kind in "fi" else rows < 0
        if bad.any():
            frame, unit = (int(index) for index in np.argwhere(bad)[0])
            raise ContractError(
                f"counts is {rows[frame, unit]:g} at frame {start + frame:,}, unit {unit}",
                hint="counts are whole numbers of spikes in a frame, neither rates nor smoothed; or give spike_times",
            )
    return values
