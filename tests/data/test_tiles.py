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
        return np.minimum(np.minimum(starts + frames, self.table[place, 1]) - starts, frames)


def read(session: Trials, context: int, frames: int) -> int:
    """Frames that an evaluation reads, but for clips that fill up a group."""
    return len(tiles(session, "val", context, frames)) * (context + frames)


@pytest.mark.parametrize(
    ("lengths", "frames"),
    [
        ([300] * 8, 280),  # each trial is a clip
        ([300], 280),  # however many there are
        ([70] * 40, 50),  # shorter than the shortest clip otherwise
        ([1020] * 4, 345),  # three parts of 333 and one to spare, in hardly more frames
        ([500], 480),
        ([10] * 4, 240),  # no frame counts
        ([70] * 400 + [2020] * 3, 250),  # few long trials among many short ones: not shorter than 240
    ],
)
def test_the_length_follows_from_the_trials(lengths: list[int], frames: int) -> None:
    found = clip_frames(Trials(lengths), "val", 20, least=240, most=480)
    assert found == frames or (frames in (345, 250) and abs(found - frames) < 20), found


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=60),
    st.integers(0, 60),
    st.integers(10, 300),
    st.integers(0, 300),
)
def test_it_is_the_longest_that_reads_hardly_more_than_the_best(
    lengths: list[int], context: int, least: int, more: int
) -> None:
    session, most = Trials(lengths), least + more
    frames = clip_frames(session, "val", context, least=least, most=most)
    longest = max(lengths) - context
    if longest <= 0:
        assert frames == least
        return
    allowed = range(min(least, longest), min(most, longest) + 1)
    assert frames in allowed
    reads = {length: read(session, context, length) for length in allowed}
    hardly_more = [length for length in allowed if reads[length] <= 1.05 * min(reads.values())]
    assert frames == max(hardly_more)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.integers(0, 60), st.integers(1, 600))
def test_every_scored_frame_is_in_one_clip(lengths: list[int], context: int, frames: int) -> None:
    session = Trials(lengths)
    starts = tiles(session, "val", context, frames)
    counted = int(session.clip_counts(starts, frames, context).sum()) if len(starts) else 0
    assert counted == sum(max(length - context, 0) for length in lengths)


def test_trials_too_short_for_their_context_ask_for_nothing() -> None:
    assert len(tiles(Trials([10] * 4), "val", 20, 480)) == 0
