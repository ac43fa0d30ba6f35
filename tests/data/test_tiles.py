"""Trials are cut into clips of the length that reads the fewest frames, and every scored frame is in one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.tiles import clip_frames, tiles


class Trials:
    """A session of trials of these lengths, all valid."""

    def __init__(self, lengths: list[int]) -> None:
        stops = np.cumsum(lengths)
        self.table = np.stack([stops - lengths, stops], 1)

    def segments(self, split: str) -> np.ndarray:
        return self.table

    def clip_counts(self, starts: np.ndarray, frames: int, context: int) -> np.ndarray:
        place = np.searchsorted(self.table[:, 0], starts, side="right") - 1
        return np.minimum(starts + frames, self.table[place, 1]) - starts


def read(session: Trials, context: int, frames: int, clips: int) -> int:
    """Frames that an evaluation reads."""
    number = len(tiles(session, "val", context, frames))
    return -(-number // clips) * clips * (context + frames)


@pytest.mark.parametrize(
    ("lengths", "context", "frames"),
    [([300] * 8, 20, 280), ([1020] * 4, 20, 250), ([70] * 40, 20, 50), ([2020] * 4, 20, 400)],
)
def test_equal_trials_are_cut_into_equal_parts(lengths: list[int], context: int, frames: int) -> None:
    session = Trials(lengths)
    found = clip_frames(session, "val", context, most=480, clips=4)
    assert found <= 480
    assert read(session, context, found, 4) <= 1.05 * read(session, context, frames, 4)
    scored = lengths[0] - context
    assert scored - (-(-scored // found) - 1) * found > found - -(-scored // found), "the last part is about as long"


def test_trials_too_short_for_their_context_ask_for_nothing() -> None:
    assert clip_frames(Trials([10] * 4), "val", 20, most=480, clips=4) == 480
    assert len(tiles(Trials([10] * 4), "val", 20, 480)) == 0


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(10, 600),
    st.integers(1, 8),
)
def test_it_reads_no_more_than_the_longest_clips_would(lengths: list[int], context: int, most: int, clips: int) -> None:
    session = Trials(lengths)
    frames = clip_frames(session, "val", context, most=most, clips=clips)
    assert 1 <= frames <= most
    assert read(session, context, frames, clips) <= 1.05 * read(session, context, most, clips)
    starts = tiles(session, "val", context, frames)
    counted = sum(
        min(frames, int(session.clip_counts(starts[i : i + 1], frames, context)[0])) for i in range(len(starts))
    )
    assert counted == sum(max(length - context, 0) for length in lengths)
