"""Clips of a step are a pure function of seed and step, uniform over what is admissible, and shared exactly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.sampler import ClipSampler, StartTable, shares
from vctrain.errors import ContractError, UsageError


class Segments:
    """The part of a session that a sampler sees."""

    def __init__(self, segments: list[tuple[int, int]], name: str = "Ada") -> None:
        self.name = name
        self._segments = np.asarray(segments, np.int64).reshape(-1, 2)

    def segments(self, split: str) -> np.ndarray:
        assert split == "train"
        return self._segments

    def n_scored(self, split: str, context: int) -> int:
        return int(np.maximum(self._segments[:, 1] - self._segments[:, 0] - context, 0).sum())


def sampler(sessions: list[Segments], **changes: object) -> ClipSampler:
    settings = {"composition": "equal", "batch_clips": 8, "context": 4, "clip_frames": 10, "seed": 3, "world_size": 1}
    return ClipSampler(sessions, **{**settings, **changes})  # type: ignore[arg-type]


SESSIONS = [Segments([(0, 100), (150, 158), (200, 203)]), Segments([(0, 5000)]), Segments([(0, 20)])]


def test_a_step_depends_on_nothing_but_seed_and_step() -> None:
    whole = [sampler(SESSIONS).clips(step) for step in range(20)]
    again = sampler(SESSIONS)
    assert [again.clips(step) for step in (13, 5, 19, 0)] == [whole[step] for step in (13, 5, 19, 0)]
    assert len({tuple(step) for step in whole}) == 20
    assert sampler(SESSIONS, seed=4).clips(0) != whole[0]


def test_sessions_do_not_share_random_numbers() -> None:
    twins = sampler([Segments([(0, 5000)]), Segments([(0, 5000)])]).clips(0)
    assert [start for session, start in twins if session == 0] != [start for session, start in twins if session == 1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=6),
    st.integers(0, 12),
    st.integers(1, 20),
)
def test_starts_are_exactly_the_admissible_ones(pieces: list[tuple[int, int]], context: int, frames: int) -> None:
    segments, at = [], 0
    for gap, length in pieces:
        segments.append((at + gap, at + gap + length))
        at += gap + length
    admissible: set[int] = set()
    for start, stop in segments:
        full = set(range(start + context, stop - frames + 1))
        admissible |= full or ({start + context} if start + context < stop else set())
    if not admissible:
        with pytest.raises(ContractError, match="no training trial longer than"):
            StartTable(Segments(segments), context, frames)  # type: ignore[arg-type]
        return
    table = StartTable(Segments(segments), context, frames)  # type: ignore[arg-type]
    assert table.total == len(admissible)
    drawn = table.draw(np.random.default_rng(0), 40 * table.total)
    assert set(drawn.tolist()) <= admissible
    if table.total <= 20:
        assert set(drawn.tolist()) == admissible


def test_starts_are_uniform() -> None:
    table = StartTable(SESSIONS[0], 4, 10)  # type: ignore[arg-type]
    n = 200 * table.total
    _, counts = np.unique(table.draw(np.random.default_rng(1), n), return_counts=True)
    assert len(counts) == table.total
    chi_square = ((counts - 200) ** 2 / 200).sum()
    freedom = table.total - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_every_session_has_its_share_in_every_step_sorted() -> None:
    drawn = sampler(SESSIONS, batch_clips=12)
    for step in range(5):
        clips = drawn.clips(step)
        sessions = [session for session, _ in clips]
        assert sessions == sorted(sessions)
        assert [sessions.count(index) for index in range(3)] == [4, 4, 4] == drawn.shares.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=30), st.integers(0, 200))
def test_shares_are_in_proportion(weights: list[float], extra: int) -> None:
    n = len(weights) + extra
    found = shares(np.array(weights), n)
    assert found.sum() == n
    assert found.min() >= 1
    ideal = n * np.array(weights) / sum(weights)
    if ideal.min() >= 1:
        assert np.abs(found - ideal).max() < 1


@pytest.mark.parametrize(
    ("clips", "world", "message", "hint"),
    [
        (7, 2, "batch_clips 7 cannot be shared equally by 2 processes", "6 or 8"),
        (2, 1, "batch_clips 2 is less than one clip for each of 3 sessions", "use 3"),
        (5, 4, "batch_clips 5 cannot be shared", "4 or 8"),
        (2, 2, "less than one clip", "use 4"),
    ],
)
def test_a_size_that_does_not_fit_names_those_that_do(clips: int, world: int, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        sampler(SESSIONS, batch_clips=clips, world_size=world)
    assert hint in error.value.hint


def test_the_cost_does_not_grow_with_frames() -> None:
    def seconds(frames: int) -> float:
        drawn = sampler([Segments([(0, frames // 2), (frames // 2, frames)])])
        best = min(_timed(lambda: [drawn.clips(step) for step in range(50)]) for _ in range(3))
        return best

    # loose, for busy machines: anything that grows with frames would be 10,000 times slower
    assert seconds(10**9) < 4 * seconds(10**5)
    starts = [start for step in range(50) for _, start in sampler([Segments([(0, 10**9)])]).clips(step)]
    assert max(starts) > 2**24
    assert len(set(starts)) == len(starts)


def _timed(work: object) -> float:
    begin = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begin
