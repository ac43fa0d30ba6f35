"""Clips of a step are a pure function of seed and step, follow the declared law, and are shared exactly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.config.schema import Curriculum
from vctrain.data.intervals import Intervals, Ints
from vctrain.data.sampler import Clips, ClipSampler, shares
from vctrain.data.starts import StartTable
from vctrain.errors import ContractError, UsageError

CONTEXT, FRAMES = 4, 10


class Segments:
    """The part of a session that a sampler sees; frame f of its movie has the contrast `levels[f]`."""

    def __init__(
        self,
        segments: Sequence[tuple[int, int]],
        name: str = "Ada_1",
        invalid: Sequence[tuple[int, int]] = (),
        levels: Sequence[float] | None = None,
    ) -> None:
        self.name, self.subject = name, name.split("_")[0]
        self._segments = Intervals(np.asarray(segments, np.int64).reshape(-1, 2))
        gaps = Intervals(np.asarray(invalid, np.int64).reshape(-1, 2))
        edges = [-1 << 40, *gaps.table.flatten().tolist(), 1 << 40]
        self._valid = self._segments.intersection(Intervals(np.asarray(edges, np.int64).reshape(-1, 2)))
        self._levels = levels

    def segments(self, split: str) -> Ints:
        return self._segments.table

    def scored(self, split: str = "all", context: int = CONTEXT) -> Intervals:
        return self._valid.trimmed(context)

    def n_scored(self, split: str, context: int = CONTEXT) -> int:
        return self.scored(split, context).total

    def clip_counts(self, starts: Ints, frames: int, context: int = CONTEXT) -> Ints:
        stops = np.minimum(starts + frames, self._segments.stops[self._segments.find(starts)])
        return self.scored("all", context).count(starts, stops)

    def frame(self, frame: int) -> np.ndarray:
        level = 1.0 if self._levels is None else self._levels[frame]
        return np.array([[127 - level, 127 + level]])


def sampler(sessions: Sequence[Segments], **changes: object) -> ClipSampler:
    chosen = {"batch_clips": 8, "context": CONTEXT, "clip_frames": FRAMES, "seed": 3, **changes}
    return ClipSampler(sessions, **chosen)  # type: ignore[arg-type]


SESSIONS = [
    Segments([(0, 100), (150, 158), (200, 203)]),
    Segments([(0, 5000)], "Bob_1", invalid=[(1000, 1400)]),
    Segments([(0, 40)], "Bob_2"),
]
MODES = (
    {"sampling": "stratified"},
    {"sampling": "stratified", "composition": "by_subject"},
    {"sampling": "stratified", "homogeneous": True, "composition": "by_size"},
    {"sampling": "uniform"},
    {"sampling": "uniform", "homogeneous": True},
    {"sampling": "epoch"},
    {"sampling": "epoch", "homogeneous": True},
    {"curriculum": Curriculum(warmup_steps=15)},
    {"sampling": "uniform", "curriculum": Curriculum(warmup_steps=15)},
)


def told(clips: Clips) -> list[tuple[int, int, bool]]:
    return list(zip(clips.session.tolist(), clips.start.tolist(), clips.counted.tolist(), strict=True))


def law(sessions: Sequence[Segments], steps: int, first: int = 0, **changes: object) -> Counter[tuple[int, int]]:
    """How often each clip (session, start) is drawn."""
    drawn = sampler(sessions, batch_clips=50, **changes)
    found: Counter[tuple[int, int]] = Counter()
    for step in range(first, first + steps):
        found.update((session, start) for session, start, counted in told(drawn.clips(step)) if counted)
    return found


def assert_law(found: Counter[tuple[int, int]], expected: dict[tuple[int, int], float]) -> None:
    """Chi-square: `found` is a sample of the law `expected` (weights of any scale)."""
    assert set(found) <= {clip for clip, weight in expected.items() if weight > 0}
    total, n = sum(expected.values()), sum(found.values())
    ideal = {clip: weight / total * n for clip, weight in expected.items() if weight > 0}
    assert min(ideal.values()) > 5, "too few draws to judge"
    chi_square = sum((found[clip] - mean) ** 2 / mean for clip, mean in ideal.items())
    freedom = len(ideal) - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom), (chi_square, freedom)


def admissible(session: Segments) -> list[int]:
    """Every start of a clip that scores a frame, by definition."""
    starts: list[int] = []
    for a, b in session.segments("train").tolist():
        inside = list(range(a + CONTEXT, b - FRAMES + 1)) or ([a + CONTEXT] if a + CONTEXT < b else [])
        starts += [start for start in inside if scored_frames(session, start)]
    return starts


def scored_frames(session: Segments, start: int) -> list[int]:
    inside = [(a, b) for a, b in session.segments("train").tolist() if a <= start < b]
    stop = min(start + FRAMES, inside[0][1])
    frames = np.arange(start, stop)
    return frames[session.scored().contains(frames)].tolist()


@pytest.mark.parametrize("mode", MODES)
def test_a_step_depends_on_nothing_but_seed_and_step(mode: dict[str, object]) -> None:
    whole = [told(sampler(SESSIONS, **mode).clips(step)) for step in range(20)]
    again = sampler(SESSIONS, **mode)
    assert [told(again.clips(step)) for step in (13, 5, 19, 0)] == [whole[step] for step in (13, 5, 19, 0)]
    assert len({tuple(step) for step in whole}) == 20
    assert told(sampler(SESSIONS, seed=4, **mode).clips(0)) != whole[0]


@pytest.mark.parametrize("mode", MODES)
def test_processes_together_hold_the_step_and_share_it_equally(mode: dict[str, object]) -> None:
    for step in range(4):
        clips = sampler(SESSIONS, world_size=4, **mode).clips(step)
        assert clips.session.tolist() == sorted(clips.session.tolist())
        ranks = [clips.of_rank(rank, 4) for rank in range(4)]
        assert sorted(clip for rank in ranks for clip in told(rank)) == sorted(told(clips))
        assert {len(rank.start) for rank in ranks} == {2}
        if mode.get("homogeneous"):
            assert len({session for rank in ranks for session in rank.session.tolist()}) == 1


def test_sessions_do_not_share_random_numbers() -> None:
    clips = sampler([Segments([(0, 5000)]), Segments([(0, 5000)])]).clips(0)
    assert clips.start[clips.session == 0].tolist() != clips.start[clips.session == 1].tolist()


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
    expected: list[int] = []
    for start, stop in segments:
        full = list(range(start + context, stop - frames + 1))
        expected += full or ([start + context] if start + context < stop else [])
    if not expected:
        with pytest.raises(ContractError, match="no training trial longer than"):
            StartTable([Segments(segments)], context, frames)  # type: ignore[arg-type]
        return
    table = StartTable([Segments(segments)], context, frames)  # type: ignore[arg-type]
    session, starts, scored = table.at(np.arange(table.offsets[-1]))
    assert starts.tolist() == sorted(expected)
    assert set(session.tolist()) == {0}
    whole = {start: min(frames, stop - start) for a, stop in segments for start in range(a + context, stop)}
    assert scored.tolist() == [whole[start] for start in starts.tolist()]


def test_stratified_clips_are_uniform_over_those_that_score_a_frame() -> None:
    session = Segments([(0, 100), (150, 158), (200, 203), (300, 400)], invalid=[(20, 60), (290, 345)])
    assert_law(law([session], 400), dict.fromkeys(((0, start) for start in admissible(session)), 1.0))


def test_uniform_sampling_draws_every_clip_of_every_session_alike() -> None:
    sessions = [Segments([(0, 90)]), Segments([(0, 300)], "Bob_1", invalid=[(100, 150)]), Segments([(0, 20)], "Cy_1")]
    every = [(index, start) for index, session in enumerate(sessions) for start in admissible(session)]
    assert_law(law(sessions, 400, sampling="uniform"), dict.fromkeys(every, 1.0))


@pytest.mark.parametrize("sampling", ["stratified", "uniform"])
def test_a08_under_a_curriculum_a_clip_weighs_the_mean_weight_of_its_scored_frames_at_that_step(sampling: str) -> None:
    """The contrast is that of the frame itself, the weight that of the very step, and afterwards there is none."""
    generator = np.random.default_rng(0)
    sessions = [
        Segments([(0, 60)], levels=generator.gamma(1.0, 20, 60)),
        Segments([(0, 80)], "Bob_1", invalid=[(30, 40)], levels=generator.gamma(0.5, 60, 80)),
    ]
    contrasts = [[session.frame(f).std() for f in session.scored().at(np.arange(session.n_scored("train")))]
                 for session in sessions]  # fmt: skip
    median = np.median(np.concatenate(contrasts))
    curriculum = Curriculum(warmup_steps=10**6)
    for first, alpha in ((0, 0.5), (500_000, 0.75)):
        expected = {}
        for index, session in enumerate(sessions):
            for start in admissible(session):
                weights = [min(1.0, alpha * session.frame(f).std() / median) for f in scored_frames(session, start)]
                expected[index, start] = float(np.mean(weights))
            if sampling == "stratified":
                total = sum(weight for (i, _), weight in expected.items() if i == index)
                expected |= {clip: weight / total for clip, weight in expected.items() if clip[0] == index}
        found = law(sessions, 300, first, sampling=sampling, curriculum=curriculum)
        assert_law(found, expected)
        with pytest.raises(AssertionError):
            assert_law(found, {clip: 1.0 for clip in expected})
    every = {(i, start): 1 / (len(admissible(s)) if sampling == "stratified" else 1)
             for i, s in enumerate(sessions) for start in admissible(s)}  # fmt: skip
    assert_law(law(sessions, 300, 10**6, sampling=sampling, curriculum=curriculum), every)


@pytest.mark.parametrize("homogeneous", [False, True])
def test_an_epoch_shows_each_scored_training_frame_once(homogeneous: bool) -> None:
    drawn = sampler(SESSIONS, sampling="epoch", homogeneous=homogeneous)
    assert drawn._epochs is not None
    n_steps = drawn._epochs.steps
    passes = []
    for turn in range(3):
        seen: Counter[tuple[int, int]] = Counter()
        order = []
        for step in range(turn * n_steps, (turn + 1) * n_steps):
            clips = told(drawn.clips(step))
            assert len(clips) == 8
            order.append(tuple(clips))
            seen.update(
                (index, frame)
                for index, start, counted in clips
                if counted
                for frame in scored_frames(SESSIONS[index], start)
            )
        every = {(i, f) for i, s in enumerate(SESSIONS) for f in s.scored().at(np.arange(s.n_scored("train"))).tolist()}
        assert set(seen) == every
        assert set(seen.values()) == {1}
        passes.append(tuple(order))
    assert len(set(passes)) == 3


def test_every_session_has_its_share_in_every_step() -> None:
    drawn = sampler(SESSIONS, batch_clips=12)
    assert drawn.shares is not None
    for step in range(5):
        assert np.bincount(drawn.clips(step).session).tolist() == [4, 4, 4] == drawn.shares.tolist()


def test_subjects_weigh_the_same_whatever_their_sessions_and_frames() -> None:
    sessions = [Segments([(0, 5000)], f"Ada_{i}") for i in range(3)] + [Segments([(0, 100)], "Bob_1")]
    drawn = sampler(sessions, composition="by_subject", batch_clips=12)
    assert drawn.shares is not None
    assert drawn.session_weights is not None
    assert drawn.shares.tolist() == [2, 2, 2, 6]
    weights = drawn.session_weights
    assert weights[:3].sum() == pytest.approx(weights[3])
    single = law(sessions, 300, composition="by_subject", homogeneous=True)
    of_bob = sum(n for (index, _), n in single.items() if index == 3) / sum(single.values())
    assert abs(of_bob - 0.5) < 5 * 0.5 / np.sqrt(300)


def test_single_session_steps_come_as_often_as_declared() -> None:
    sessions = [Segments([(0, 5000)]), Segments([(0, 1004)], "Bob_1")]
    for changes, expected in (({"composition": "equal"}, 0.5), ({"composition": "by_size"}, 1000 / 5996)):
        drawn = sampler(sessions, homogeneous=True, **changes)
        share = np.mean([drawn.clips(step).session[0] for step in range(600)])
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / 600)


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
    if world == 1:
        assert len(sampler(SESSIONS, batch_clips=clips, homogeneous=True).clips(0).start) == clips


def test_an_epoch_has_no_curriculum() -> None:
    with pytest.raises(UsageError, match="shows each of them once"):
        sampler(SESSIONS, sampling="epoch", curriculum=Curriculum())


def test_a_movie_without_contrast_is_named_before_training() -> None:
    blank = Segments([(0, 200)], "Bob_1", levels=[0.0] * 200)
    with pytest.raises(ContractError, match="session Bob_1: its movie has no contrast"):
        sampler([Segments([(0, 200)]), blank], curriculum=Curriculum())
    mostly = Segments([(0, 200)], levels=[0.0] * 150 + [9.0] * 50)
    with pytest.raises(ContractError, match="more than half of the training frames are blank"):
        sampler([mostly], curriculum=Curriculum())


def test_the_cost_does_not_grow_with_frames() -> None:
    def seconds(frames: int, **changes: object) -> float:
        drawn = sampler([Segments([(0, frames // 2), (frames // 2, frames)])], **changes)
        return min(_timed(lambda: [drawn.clips(step) for step in range(50)]) for _ in range(3))

    for changes in ({}, {"sampling": "uniform"}, {"curriculum": Curriculum()}):
        # loose, for busy machines: anything that grows with frames would be 10,000 times slower
        assert seconds(10**9, **changes) < 4 * seconds(10**5, **changes)
    starts = [start for step in range(50) for start in sampler([Segments([(0, 10**9)])]).clips(step).start.tolist()]
    assert max(starts) > 2**24
    assert len(set(starts)) == len(starts)


def _timed(work: object) -> float:
    begin = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begin
