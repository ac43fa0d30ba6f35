"""Which clips does step s hold? A pure function of (seed, s)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError

Composition = Literal["by_size", "equal"]


class StartTable:
    """The admissible starts of clips in the training segments of one session, drawn uniformly.

    A segment [a, b) admits a + context .. b - frames; one that is shorter admits a + context alone if that frame is in
    it. The cost of a draw does not depend on the number of frames.
    """

    def __init__(self, session: Session, context: int, frames: int) -> None:
        segments = session.segments("train")
        first = segments[:, 0] + context
        admitted = np.where(first < segments[:, 1], np.maximum(segments[:, 1] - frames - first + 1, 1), 0)
        keep = admitted > 0
        self._first = first[keep]
        self._after = np.cumsum(admitted[keep])
        self.total = int(self._after[-1]) if len(self._after) else 0
        if self.total == 0:
            raise ContractError(
                f"session {session.name} has no training trial longer than the {context} frames of context",
                hint="use a model with less context, or longer trials",
            )

    def draw(self, generator: np.random.Generator, n: int) -> Ints:
        """`n` starts, with replacement."""
        ticket = generator.integers(0, self.total, size=n)
        segment = np.searchsorted(self._after, ticket, side="right")
        before = np.where(segment > 0, self._after[segment - 1], 0)
        starts: Ints = self._first[segment] + ticket - before
        return starts


class ClipSampler:
    """Draws a fixed number of clips of every session for each step; holds no state.

    Raises UsageError if `batch_clips` cannot be shared among processes and sessions.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        *,
        composition: Composition,
        batch_clips: int,
        context: int,
        clip_frames: int,
        seed: int,
        world_size: int = 1,
    ) -> None:
        self.context, self.clip_frames, self.seed, self.world_size = context, clip_frames, seed, world_size
        self.batch_clips = batch_clips
        _check_size(batch_clips, len(sessions), world_size)
        self._starts = [StartTable(session, context, clip_frames) for session in sessions]
        weights = [session.n_scored("train", context) if composition == "by_size" else 1 for session in sessions]
        self.shares = shares(np.asarray(weights, np.float64), batch_clips)
        """Clips of each session in every step."""

    def clips(self, step: int) -> list[tuple[int, int]]:
        """(session index, start) of every clip of `step` on all processes, sorted by session; rank r has [r::world]."""
        drawn: list[tuple[int, int]] = []
        for session, (table, share) in enumerate(zip(self._starts, self.shares.tolist(), strict=True)):
            generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, step, session])))
            drawn += [(session, int(start)) for start in table.draw(generator, share)]
        return drawn


def shares(weights: NDArray[np.float64], n_clips: int) -> Ints:
    """`n_clips` shared in proportion to `weights`, at least one each, by largest remainder.

    >>> shares(np.array([3.0, 1.0]), 8).tolist(), shares(np.array([1000.0, 1.0]), 4).tolist()
    ([6, 2], [3, 1])
    """
    exact = 1 + (n_clips - len(weights)) * weights / weights.sum()
    ideal = n_clips * weights / weights.sum()
    if (ideal >= 1).all():
        exact = ideal
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
            hint=f"use {sizes[0]} or more",
        )
    raise UsageError(
        f"data.batch_clips {batch_clips} cannot be shared equally by {world_size} processes", hint=f"use {nearest}"
    )
