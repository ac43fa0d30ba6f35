"""Is every spike in exactly one frame, or told to be in none?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_arrays import NAME, brute_force

from vctrain import save_session
from vctrain.data.dset import open_dset
from vctrain.data.making.binning import bin_spikes, frame_ends


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_spike_is_in_exactly_one_frame_or_in_none(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.sampled_from([1, 1, 1, 1, 1.3, 1.5, 1.51, 2, 7, 0.25]), min_size=1, max_size=25))
    times = np.concatenate([[0.0], np.cumsum(steps)]) / data.draw(st.sampled_from([1.0, 120.0, 59.94])) + 3.0
    ends = frame_ends(times)
    # the exact edges are what is easily got wrong
    moments = st.sampled_from([*times, *ends, *np.nextafter(times, 0), *np.nextafter(ends, 0)])
    unit = st.lists(moments | st.floats(times[0] - 1, times[-1] + 1), max_size=30)
    units = [np.array(spikes, float) for spikes in data.draw(st.lists(unit, min_size=1, max_size=3))]
    binned = bin_spikes(units, times)
    counts = binned.block(0, len(times))
    for u, spikes in enumerate(units):
        assert counts[:, u].tolist() == [brute_force(spikes, times, frame) for frame in range(len(times))]
    assert counts.sum() + binned.outside + binned.paused == sum(map(len, units))
    assert binned.outside == sum(((spikes < times[0]) | (spikes >= ends[-1])).sum() for spikes in units)
    assert binned.totals.tolist() == counts.sum(axis=0).tolist()
    cut = data.draw(st.integers(0, len(times)))
    np.testing.assert_array_equal(np.concatenate([binned.block(0, cut), binned.block(cut, len(times))]), counts)


def test_a_pause_swallows_no_spikes(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(50) / 100, 10 + np.arange(50) / 100])
    in_pause = np.linspace(0.51, 9.99, 77)
    spikes = np.concatenate([in_pause, [0.495, 0.4999, 10.0, 10.495], [-1.0, 10.5, 11.0]])
    saved = save_session(
        tmp_path / NAME, np.zeros((100, 2, 2), np.uint8), type="a", spike_times=[spikes], frame_times=times
    )
    counts = open_dset(saved.path).covariates["robs"][:, 0]
    assert (saved.spikes, saved.spikes_in_pauses, saved.spikes_outside) == (4, 77, 3)
    assert counts.nonzero().flatten().tolist() == [49, 50, 99]
    assert counts[49] == 2
