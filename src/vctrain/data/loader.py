"""How do clips reach the twin, ahead of time in training and all of them, once, in evaluation?"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.data.intervals import Ints
from vctrain.data.sampler import ClipSampler
from vctrain.data.session import Session

_AHEAD = 2
_POLL_SECONDS = 0.2


class TrainLoader:
    """The batches of one epoch on one process, gathered ahead by one thread.

    Iteration begins at the step that `start_step` names when it begins, so that a resumed run continues exactly.
    """

    def __init__(
        self,
        sampler: ClipSampler,
        sessions: Sequence[Session],
        *,
        rank: int = 0,
        steps_per_epoch: int,
        start_step: Callable[[], int],
        pin_memory: bool = False,
    ) -> None:
        self.sampler, self.sessions, self.rank = sampler, tuple(sessions), rank
        self.steps_per_epoch, self.start_step, self.pin_memory = steps_per_epoch, start_step, pin_memory

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[ClipBatch]:
        first = self.start_step()
        return _ahead(self.batch, range(first, first + self.steps_per_epoch))

    def batch(self, step: int) -> ClipBatch:
        """The clips of `step` on this process."""
        sampler = self.sampler
        clips = sampler.clips(step)
        everywhere = _starts_by_session(clips)
        counts = torch.zeros(len(self.sessions), dtype=torch.float64)
        for index, starts in everywhere.items():
            session = self.sessions[index]
            valid = session.clip_counts(starts, sampler.clip_frames, sampler.context)
            counts[index] = float(valid.sum() * session.n_units)
        here = _starts_by_session(clips[self.rank :: sampler.world_size])
        parts = tuple(
            self.sessions[index].gather(starts, context=sampler.context, frames=sampler.clip_frames)
            for index, starts in here.items()
        )
        batch = ClipBatch(step, parts, counts)
        return batch.pin_memory() if self.pin_memory else batch


class EvalLoader:
    """Every scored frame of a split exactly once, in groups of one canonical shape and fixed order.

    A group is `clips` clips of `frames` frames of one session; the last of a session is filled up with clips that count
    nothing. Whole groups go to ranks in turn, so that the digits do not depend on the number of processes.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        split: str,
        *,
        context: int,
        frames: int = 120,
        clips: int = 8,
        rank: int = 0,
        world_size: int = 1,
        rate_true: bool = False,
    ) -> None:
        self.sessions, self.split, self.context, self.frames = tuple(sessions), split, context, frames
        self.clips, self.rank, self.world_size, self.rate_true = clips, rank, world_size, rate_true
        self._groups: list[tuple[int, Ints]] = []
        for index, session in enumerate(self.sessions):
            starts = tiles(session, split, context, frames)
            self._groups += [(index, starts[first : first + clips]) for first in range(0, len(starts), clips)]

    @property
    def n_groups(self) -> int:
        """Groups on all ranks together."""
        return len(self._groups)

    def __len__(self) -> int:
        return len(range(self.rank, self.n_groups, self.world_size))

    def __iter__(self) -> Iterator[ClipBatch]:
        return _ahead(self.batch, range(self.rank, self.n_groups, self.world_size))

    def batch(self, group: int) -> ClipBatch:
        """The group with number `group`, which is also its `step`."""
        index, starts = self._groups[group]
        session = self.sessions[index]
        missing = self.clips - len(starts)
        filled = np.concatenate([starts, np.repeat(starts[-1:], missing)])
        part = session.gather(filled, context=self.context, frames=self.frames, rate_true=self.rate_true)
        if missing:
            part = _without_last(part, missing)
        counts = torch.zeros(len(self.sessions), dtype=torch.float64)
        valid = session.clip_counts(starts, self.frames, self.context)
        counts[index] = float(valid.sum() * session.n_units)
        return ClipBatch(group, (part,), counts)


def tiles(session: Session, split: str, context: int, frames: int) -> Ints:
    """Starts of consecutive clips that hold every scored frame of `split` once; clips that would score none are left
    out."""
    segments = session.segments(split)
    first = segments[:, 0] + context
    number = np.maximum(-(-(segments[:, 1] - first) // frames), 0)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    starts: Ints = np.repeat(first, number) + within * frames
    return starts[session.clip_counts(starts, frames, context) > 0]


def _without_last(part: SessionClips, n: int) -> SessionClips:
    dfs = part.dfs.clone()
    dfs[-n:] = 0.0
    return replace(part, dfs=dfs)


def _starts_by_session(clips: Sequence[tuple[int, int]]) -> dict[int, Ints]:
    grouped: dict[int, list[int]] = {}
    for session, start in clips:
        grouped.setdefault(session, []).append(start)
    return {session: np.asarray(starts, np.int64) for session, starts in grouped.items()}


def _ahead(make: Callable[[int], ClipBatch], steps: range) -> Iterator[ClipBatch]:
    """`make` of every step, made by one thread that is at most a few steps ahead and ends with the iterator."""
    ready: queue.Queue[ClipBatch | BaseException | None] = queue.Queue(maxsize=_AHEAD)
    closed = threading.Event()

    def put(item: ClipBatch | BaseException | None) -> bool:
        while not closed.is_set():
            try:
                ready.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for step in steps:
                if not put(make(step)):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that iterates
            put(error)

    def batches() -> Iterator[ClipBatch]:
        worker = threading.Thread(target=work, name="clips-ahead", daemon=True)
        worker.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            closed.set()
            worker.join()

    return batches()
