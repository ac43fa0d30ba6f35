"""Intervals count and find frames as a list of all frames would, however long they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.intervals import Intervals


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=30))
def test_ranks_and_frames_are_each_others_inverse(pieces: list[tuple[int, int]]) -> None:
    table, at = [], 0
    for gap, length in pieces:
        table.append((at + gap, at + gap + length))
        at += gap + length
    intervals = Intervals(np.asarray(table, np.int64).reshape(-1, 2))
    frames = [frame for start, stop in table for frame in range(start, stop)]
    assert intervals.total == len(frames)
    np.testing.assert_array_equal(intervals.at(np.arange(len(frames))), frames)
    every = np.arange(-2, at + 3)
    np.testing.assert_array_equal(intervals.before(every), [sum(f < e for f in frames) for e in every.tolist()])
    np.testing.assert_array_equal(intervals.contains(every), np.isin(every, frames))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=8),
    st.lists(st.integers(-2, 60), max_size=4),
    st.integers(1, 6),
)
def test_runs_are_held_that_lie_in_one_interval(pieces: list[tuple[int, int]], first: list[int], length: int) -> None:
    table, at = [], 0
    for gap, size in pieces:
        table.append((at + gap, at + gap + size))
        at += gap + size
    intervals = Intervals(np.asarray(table, np.int64).reshape(-1, 2))
    expected = all(any(start <= f and f + length <= stop for start, stop in table) for f in first)
    assert intervals.hold(np.asarray(first, np.int64), length) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 70)), max_size=12), st.sampled_from([1, 2, 16, 64]))
def test_pieces_cover_every_frame_and_no_other(pieces: list[tuple[int, int]], size: int) -> None:
    table, at = [], 0
    for gap, length in pieces:
        table.append((at + gap, at + gap + length))
        at += gap + length
    intervals = Intervals(np.asarray(table, np.int64).reshape(-1, 2))
    found: set[int] = set()
    for length, starts in intervals.cover(size):
        assert length <= size
        assert length & (length - 1) == 0
        assert (intervals.find(starts) == intervals.find(starts + length - 1)).all()
        found.update((starts[:, None] + np.arange(length)).flatten().tolist())
    assert found == {frame for start, stop in table for frame in range(start, stop)}
