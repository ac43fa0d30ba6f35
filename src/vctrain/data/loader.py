"""How do clips reach the twin, ahead of time in training and all of them, once, in evaluation?"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.data.features import StoredFeatures
from vctrain.data.intervals import Ints
from vctrain.data.sampler import Clips, ClipSampler
from vctrain.data.session import Session
from vctrain.data.tiles import tiles

_AHEAD = 2
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Reads:
    """What a twin reads of a clip beside its behaviour."""

    stim: bool = True
    history: int = 0
    """Frames before the scored ones of which it sees the counts."""
    features: Mapping[int, StoredFeatures] = field(default_factory=dict)
    """By place of the session in the loader: features computed beforehand, which are read instead of the movie."""


EVERYTHING = Reads()


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
        reads: Reads = EVERYTHING,
    ) -> None:
        self.sampler, self.sessions, self.rank = sampler, tuple(sessions), rank
        self.steps_per_epoch, self.start_step = steps_per_epoch, start_step
        self.pin_memory, self.reads = pin_memory, reads

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[ClipBatch]:
        first = self.start_step()
        return _ahead(self.batch, range(first, first + self.steps_per_epoch))

    def batch(self, step: int) -> ClipBatch:
        """The clips of `step` on this process."""
        sampler = self.sampler
        clips = sampler.clips(step)
        counts = torch.zeros(len(self.sessions), dtype=torch.float64)
        for index, starts, counted in _by_session(clips):
            session = self.sessions[index]
            counts[index] = float(session.clip_entries(starts[counted], sampler.clip_frames, sampler.context))
        parts = []
        for index, starts, counted in _by_session(clips.of_rank(self.rank, sampler.world_size)):
            part = self.sessions[index].gather(
                starts,
                context=sampler.context,
                frames=sampler.clip_frames,
                stim=self.reads.stim,
                history=self.reads.history,
                features=self.reads.features.get(index),
            )
            parts.append(part if counted.all() else _only(part, counted))
        units = torch.tensor([session.n_units for session in self.sessions], dtype=torch.float64)
        weights = counts / units if sampler.session_weights is None else torch.from_numpy(sampler.session_weights)
        batch = ClipBatch(step, tuple(parts), counts, weights)
        return batch.pin_memory() if self.pin_memory else batch


class EvalLoader:
    """Every scored frame of a split exactly once, in groups of one canonical shape and fixed order.

    A group is `clips` clips of one session of `frames` frames, one number or that of each session; the last of a
    session is filled up with clips that count nothing. Whole groups go to ranks in turn, so that the digits do not
    depend on the number of processes.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        split: str,
        *,
        context: int,
        frames: int | Sequence[int] = 120,
        clips: int = 8,
        rank: int = 0,
        world_size: int = 1,
        rate_true: bool = False,
        pin_memory: bool = False,
        reads: Reads = EVERYTHING,
    ) -> None:
        self.sessions, self.split, self.context = tuple(sessions), split, context
        self.frames = (frames,) * len(sessions) if isinstance(frames, int) else tuple(frames)
        """Scored frames of a clip of each session."""
        self.clips, self.rank, self.world_size = clips, rank, world_size
        self.rate_true, self.pin_memory, self.reads = rate_true, pin_memory, reads
        self._groups: list[tuple[int, Ints]] = []
        for index, session in enumerate(self.sessions):
            starts = tiles(session, split, context, self.frames[index])
            self._groups += [(index, starts[first : first + clips]) for first in range(0, len(starts), clips)]

    @property
    def n_groups(self) -> int:
        """Groups on all ranks together."""
        return len(self._groups)

    def __len__(self) -> int:
        return len(range(self.rank, self.n_groups, self.world_size))

    def __iter__(self) -> Iterator[ClipBatch]:
        return self.batches(range(self.rank, self.n_groups, self.world_size))

    def batches(self, groups: Sequence[int]) -> Iterator[ClipBatch]:
        """The groups with these numbers, gathered ahead of time."""
        return _ahead(self.batch, groups)

    def frames_of(self, group: int) -> int:
        """Scored frames of a clip of the group with number `group`."""
        return self.frames[self._groups[group][0]]

    def starts(self, group: int) -> tuple[int, Ints]:
        """The session of the group with number `group`, and the first scored frame of each of its clips; those that
        only fill it up are left out."""
        return self._groups[group]

    def batch(self, group: int) -> ClipBatch:
        """The group with number `group`, which is also its `step`."""
        index, starts = self._groups[group]
        session = self.sessions[index]
        missing = self.clips - len(starts)
        filled = np.concatenate([starts, np.repeat(starts[-1:], missing)])
        part = session.gather(
            filled,
            context=self.context,
            frames=self.frames_of(group),
            rate_true=self.rate_true,
            stim=self.reads.stim,
            history=self.reads.history,
            features=self.reads.features.get(index),
        )
        if missing:
            part = _only(part, np.arange(self.clips) < len(starts))
        counts = torch.zeros(len(self.sessions), dtype=torch.float64)
        counts[index] = float(session.clip_entries(starts, self.frames_of(group), self.context))
        batch = ClipBatch(group, (part,), counts)
        return batch.pin_memory() if self.pin_memory else batch


def _only(part: SessionClips, counted: NDArray[np.bool_]) -> SessionClips:
    """The clips with those that only fill up counting nothing."""
    return replace(part, dfs=part.dfs * torch.from_numpy(counted.astype(np.float32))[:, None, None])


def _by_session(clips: Clips) -> Iterator[tuple[int, Ints, NDArray[np.bool_]]]:
    """Each session that has clips: its index, their starts, and which of them count."""
    for index in np.unique(clips.session).tolist():
        mine = clips.session == index
        yield index, clips.start[mine], clips.counted[mine]


def _ahead(make: Callable[[int], ClipBatch], steps: Sequence[int]) -> Iterator[ClipBatch]:
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
