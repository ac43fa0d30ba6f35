"""Which clips does step s hold? A pure function of (seed, s)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vctrain.config.schema import Curriculum
from vctrain.data.curriculum import ContrastWeights, alpha
from vctrain.data.intervals import Ints
from vctrain.data.permutation import Permutation
from vctrain.data.session import Session
from vctrain.data.starts import StartTable
from vctrain.data.tiles import tiles
from vctrain.errors import ContractError, UsageError

Sampling = Literal["stratified", "uniform", "epoch"]
Composition = Literal["by_size", "equal", "by_subject"]
Floats = NDArray[np.float64]
_MOST_PROPOSALS = 1 << 20
_SESSION_STREAM, _CHOICE_STREAM, _ORDER_STREAM = 0, 1, 2
"""Kinds of random numbers, so that those of one never are those of another."""


@dataclass(frozen=True)
class Clips:
    """The clips of one step on all processes, sorted by session; rank r has those at [r::world]."""

    session: Ints
    """(n,): index of the session."""
    start: Ints
    """(n,): global frame of the first scored frame."""
    counted: NDArray[np.bool_]
    """(n,): False for a clip that only fills up the last step of an epoch, and scores nothing."""

    def of_rank(self, rank: int, world_size: int) -> Clips:
        """The clips of one process."""
        mine = slice(rank, None, world_size)
        return Clips(self.session[mine], self.start[mine], self.counted[mine])


class ClipSampler:
    """Draws `batch_clips` clips for each step; holds no state.

    `stratified`: a fixed number of clips of every session. `uniform`: every clip that scores a frame is equally likely.
    `epoch`: the training trials are tiled into clips, and each clip comes once before any comes again; the last step of
    a pass is filled up with clips that count nothing. `homogeneous` steps hold clips of one session. Under a
    `curriculum` a clip is drawn with a probability proportional to the mean weight of its scored frames: proposals are
    accepted with the weight of one of their frames, so the cost does not depend on the number of frames.

    Raises UsageError if `batch_clips` cannot be shared among processes and sessions, or for a curriculum in `epoch`.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        *,
        sampling: Sampling = "stratified",
        composition: Composition = "equal",
        homogeneous: bool = False,
        curriculum: Curriculum | None = None,
        batch_clips: int,
        context: int,
        clip_frames: int,
        seed: int,
        world_size: int = 1,
    ) -> None:
        self.sessions, self.context, self.clip_frames = tuple(sessions), context, clip_frames
        self.sampling, self.homogeneous, self.curriculum = sampling, homogeneous, curriculum
        self.batch_clips, self.seed, self.world_size = batch_clips, seed, world_size
        every_session = sampling == "stratified" and not homogeneous
        _check_size(batch_clips, len(sessions) if every_session else 1, world_size)
        if curriculum is not None and sampling == "epoch":
            raise UsageError(
                "data.curriculum chooses frames, and data.sampling=epoch shows each of them once",
                hint="use --set data.sampling=uniform or stratified, or leave out data.curriculum",
            )
        self.weights = None if curriculum is None else ContrastWeights(curriculum, sessions)
        self.session_weights: Floats | None = None
        """(n,): what the loss of each session weighs in a step; None: as much as it has scored frames there."""
        self._epochs: _Epochs | None = None
        if sampling == "epoch":
            self._epochs = _Epochs(self.sessions, context, clip_frames, batch_clips, seed, homogeneous)
        self._starts = StartTable(sessions, context, clip_frames)
        likely = np.diff(self._starts.offsets).astype(np.float64)
        if sampling == "epoch":
            likely = np.array([session.n_scored("train", context) for session in sessions], np.float64)
        if sampling == "stratified":
            sizes = [session.n_scored("train", context) for session in sessions]
            likely = _session_weights(composition, sizes, [session.subject for session in sessions])
            self.session_weights = likely.copy() if composition == "by_subject" else np.ones(len(sessions))
        self.likely = likely / likely.sum()
        """(n,): the declared share of each session among the clips."""
        self.shares = shares(likely, batch_clips) if every_session else None
        """(n,): clips of each session in every step; None where it differs from step to step."""

    def clips(self, step: int) -> Clips:
        """The clips of `step` on all processes."""
        if self._epochs is not None:
            return self._epochs.clips(step)
        if self.shares is not None:
            session, start = self._drawn([self._stream(i, n, step) for i, n in enumerate(self.shares.tolist())], step)
        elif self.homogeneous:
            chosen = int(_generator(self.seed, step, _CHOICE_STREAM, 0).choice(len(self.likely), p=self.likely))
            session, start = self._drawn([self._stream(chosen, self.batch_clips, step)], step)
        else:
            generator = _generator(self.seed, step, _CHOICE_STREAM, 0)
            every = _Stream(generator, 0, int(self._starts.offsets[-1]), self.batch_clips)
            session, start = self._drawn([every], step)
            order = np.argsort(session, kind="stable")
            session, start = session[order], start[order]
        return Clips(session, start, np.ones(len(start), bool))

    def _stream(self, index: int, n: int, step: int) -> _Stream:
        """`n` clips of one session."""
        low, high = self._starts.offsets[index : index + 2].tolist()
        return _Stream(_generator(self.seed, step, _SESSION_STREAM, index), low, high, n)

    def _drawn(self, streams: Sequence[_Stream], step: int) -> tuple[Ints, Ints]:
        """Sessions and starts of the first proposals of each stream that are accepted: all that score a frame, or,
        under a curriculum, each with the weight of a scored frame of it that is drawn uniformly."""
        weighed = self.curriculum is not None and alpha(step, self.curriculum) is not None
        missing = list(streams)
        while missing:
            for stream in missing:
                # Most proposals are good unless a curriculum weighs them; more of them wherever few are.
                stream.propose(1 if self.weights is None else 2, weighed, step)
            session, start, scored = self._starts.at(np.concatenate([stream.numbers for stream in missing]))
            chances = np.concatenate([stream.chances for stream in missing], axis=1) if weighed else None
            good = self._accepted(session, start, scored, chances, step)
            first = 0
            for stream in missing:
                mine = slice(first, first + len(stream.numbers))
                stream.accept(session[mine][good[mine]], start[mine][good[mine]])
                first = mine.stop
            missing = [stream for stream in missing if stream.missing > 0]
        sessions, starts = zip(*(found for stream in streams for found in stream.found), strict=True)
        return np.concatenate(sessions), np.concatenate(starts)

    def _accepted(
        self, session: Ints, start: Ints, scored: Ints, chances: Floats | None, step: int
    ) -> NDArray[np.bool_]:
        """Which proposals are accepted."""
        accepted: NDArray[np.bool_] = scored > 0
        if self.weights is None or chances is None:
            return accepted
        place, luck = chances[:, accepted]
        session, rank = session[accepted], (place * scored[accepted]).astype(np.int64)
        frames = self._starts.scored_frame(session, start[accepted], rank)
        accepted[accepted] = luck < self.weights.of(session, frames, step)
        return accepted


class _Stream:
    """`wanted` clips of those with the numbers [low, high), by random numbers of their own."""

    def __init__(self, generator: np.random.Generator, low: int, high: int, wanted: int) -> None:
        self.generator, self.low, self.high = generator, low, high
        self.missing, self.proposed = wanted, 0
        self.found: list[tuple[Ints, Ints]] = []
        """Sessions and starts of accepted clips."""
        self.numbers: Ints
        """(m,): of the clips proposed now."""
        self.chances: Floats
        """(2, m) in 0..1: which scored frame of each is weighed, and the weight above which it is accepted."""

    def propose(self, generosity: int, weighed: bool, step: int) -> None:
        """Draws the next proposals. Raises ContractError if none of many scores a frame."""
        if self.proposed >= _MOST_PROPOSALS:
            raise ContractError(
                f"step {step}: none of {self.proposed:,} clips drawn scores a frame of any contrast",
                hint="check dpi_valid, or leave out data.curriculum",
            )
        m = max(self.missing * generosity, self.proposed)
        self.proposed += m
        self.numbers = self.low + self.generator.integers(0, self.high - self.low, size=m)
        if weighed:
            self.chances = self.generator.random((2, m))

    def accept(self, session: Ints, start: Ints) -> None:
        """Keeps as many as are still missing."""
        self.found.append((session[: self.missing], start[: self.missing]))
        self.missing -= len(self.found[-1][0])


class _Epochs:
    """Each clip of a tiling of the training trials once a pass, in an order of its own for every pass."""

    def __init__(
        self, sessions: Sequence[Session], context: int, frames: int, batch_clips: int, seed: int, homogeneous: bool
    ) -> None:
        found = [tiles(session, "train", context, frames) for session in sessions]
        each = [np.full(len(starts), index) for index, starts in enumerate(found)]
        self.starts = found if homogeneous else [np.concatenate(found)]
        self.sessions = each if homogeneous else [np.concatenate(each)]
        self.batch_clips, self.seed = batch_clips, seed
        steps = [-(-len(starts) // batch_clips) for starts in self.starts]
        self._after = np.cumsum(steps)
        self.steps = int(self._after[-1])
        """Steps of a pass."""

    def clips(self, step: int) -> Clips:
        turn, place = divmod(step, self.steps)
        slot = int(Permutation(self.steps, (self.seed, turn, _ORDER_STREAM))(np.array([place]))[0])
        stream = int(np.searchsorted(self._after, slot, side="right"))
        first = (slot - (int(self._after[stream - 1]) if stream else 0)) * self.batch_clips
        starts = self.starts[stream]
        order = Permutation(len(starts), (self.seed, turn, _SESSION_STREAM, stream))
        items = order(np.arange(first, min(first + self.batch_clips, len(starts))))
        missing = self.batch_clips - len(items)
        counted = np.arange(self.batch_clips) < len(items)
        items = np.concatenate([items, np.repeat(items[-1:], missing)])
        session = self.sessions[stream][items]
        sort = np.argsort(session, kind="stable")
        return Clips(session[sort], starts[items][sort], counted[sort])


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))


def _session_weights(composition: Composition, sizes: Sequence[int], subjects: Sequence[str]) -> Floats:
    if composition == "by_size":
        return np.asarray(sizes, np.float64)
    if composition == "equal":
        return np.ones(len(sizes))
    return np.array([1 / subjects.count(subject) for subject in subjects])


def shares(weights: Floats, n_clips: int) -> Ints:
    """`n_clips` shared in proportion to `weights`, at least one each, by largest remainder.

    >>> shares(np.array([3.0, 1.0]), 8).tolist(), shares(np.array([1000.0, 1.0]), 4).tolist()
    ([6, 2], [3, 1])
    >>> shares(np.array([31.0, 31.0, 31.0, 6.5]), 12).tolist()
    [4, 4, 3, 1]
    """
    # A session whose ideal is below one clip gets one, and the others share what is left in proportion.
    least = np.zeros(len(weights), bool)
    while True:
        rest = max(float(weights[~least].sum()), np.finfo(np.float64).tiny)
        exact = np.where(least, 1.0, (n_clips - least.sum()) * weights / rest)
        below = ~least & (exact < 1)
        if not below.any():
            break
        least |= below
    floor: Ints = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - floor), kind="stable")
    floor[order[: n_clips - int(floor.sum())]] += 1
    return floor


def _check_size(batch_clips: int, n_sessions: int, world_size: int) -> None:
    if batch_clips % world_size == 0 and batch_clips >= n_sessions:
        return
    lower = batch_clips // world_size * world_size
    least = -(-max(n_sessions, world_size) // world_size) * world_size
    sizes = sorted({max(lower, least), max(lower + world_size, least)})
    nearest = " or ".join(map(str, sizes))
    if batch_clips < n_sessions:
        raise UsageError(
            f"data.batch_clips {batch_clips} is less than one clip for each of {n_sessions} sessions",
            hint=f"use {sizes[0]} or more, or single-session steps: --set data.homogeneous=true",
        )
    raise UsageError(
        f"data.batch_clips {batch_clips} cannot be shared equally by {world_size} processes", hint=f"use {nearest}"
    )
