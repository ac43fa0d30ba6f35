"""What does a twin read of one session: which frames are scored, and the clips of any of them?"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout
from vctrain.config.datasets import SessionSpec
from vctrain.data.clips import Places, SessionClips
from vctrain.data.description import description_of
from vctrain.data.features import StoredFeatures
from vctrain.data.frames import Frames
from vctrain.data.intervals import Intervals, Ints
from vctrain.data.movies import Movie
from vctrain.data.recordings import Recording
from vctrain.data.signals import Pipeline, Window, behavior_of
from vctrain.data.spans import Spans, spans_of
from vctrain.data.splits import SPLITS
from vctrain.data.stimulus import StimChain
from vctrain.errors import ContractError


class Session:
    """All recordings of one session, joined end to end in frames of the twin; opened by ``open_sessions``.

    A global frame is the offset of its type plus its frame there. Memory does not grow with frames, only with the
    number of trials and of gaps in eye tracking, unless its `movie` is held.
    """

    def __init__(
        self,
        spec: SessionSpec,
        recordings: Sequence[Recording],
        *,
        index: int,
        rate_hz: float,
        cids: tuple[int, ...],
        pipelines: Sequence[Pipeline],
        frames: Frames,
        chain: StimChain,
        movies: Sequence[NDArray[np.float32]] = (),
        unit_valid: Sequence[Intervals | None] = (),
        context: int,
        settle_seconds: float = 0.0,
        notes: tuple[str, ...],
    ) -> None:
        self.spec, self.index, self.rate_hz, self.cids, self.context = spec, index, rate_hz, cids, context
        self.name, self.subject, self.types = spec.name, spec.subject, tuple(r.kind for r in recordings)
        self.notes, self.settle_seconds = notes, settle_seconds
        self.recordings = tuple(recordings)
        self.pipelines = tuple(pipelines)
        self.height, self.width = recordings[0].height, recordings[0].width
        self._offsets = [0, *itertools.accumulate(recording.n_frames for recording in recordings)]
        self.n_frames = self._offsets.pop()
        self.has_rate_true = all("rate_true" in r for r in recordings)
        self.chain = chain
        self.movie = Movie(self.recordings, tuple(movies))
        self.levels = chain.levels() if chain.ops and not movies else None
        """(256,) float32: what the twin takes for each grey level; None: (x - 127) / 255, or a computed movie."""
        self._frames = frames
        self._segments = Intervals(frames.segments)
        self._usable = self._segments.intersection(frames.valid)
        self._scored: dict[tuple[int, str], Intervals] = {}
        self._unit_valid = tuple(unit_valid) if any(valid is not None for valid in unit_valid) else ()
        self._unit_scored: dict[tuple[int, int], Intervals] = {}
        self._units = _as_slice(cids, recordings[0].n_units)
        self._left = max((p.left for p in self.pipelines), default=0)
        self._right = max((p.right for p in self.pipelines), default=0)

    @property
    def n_units(self) -> int:
        """Units used, in the order of `cids`."""
        return len(self.cids)

    @property
    def behavior_dim(self) -> int:
        """Columns of the behaviour; 0 for a behaviour-free session."""
        return sum(pipeline.dim for pipeline in self.pipelines)

    @property
    def n_splits(self) -> int:
        """2: train and val; 3: with test."""
        return max(2, len(self.spec.train_val_split))

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that belong to no trial or are left out with the start of a recording, by reason."""
        return self._frames.dropped

    @property
    def trials(self) -> Mapping[str, Mapping[str, list[float]]]:
        """Numbers of the trials by type of stimulus and split."""
        return self._frames.trials

    @property
    def own_adapter(self) -> Adapter | None:
        """The adapter its dataset config asks for instead of the model's."""
        return self.spec.adapter

    @property
    def own_readout(self) -> Readout | None:
        """The readout its dataset config asks for instead of the model's."""
        return self.spec.readout

    def segments(self, split: str = "all") -> Ints:
        """(n, 2) int64: [start, stop) of every run of one trial that belongs to `split`."""
        return self._segments.table[self._in_split(split)]

    @property
    def labels(self) -> tuple[tuple[str, float], ...]:
        """Type of stimulus and number of every trial."""
        return self._frames.labels

    def trials_at(self, frames: Sequence[int] | Ints) -> Ints:
        """Which of `labels` each global frame, inside a segment, belongs to."""
        found: Ints = self._frames.trial_of[self._segment_of(np.asarray(frames, np.int64))]
        return found

    def place_of(self, frame: int) -> tuple[int, int]:
        """The recording that holds a global frame, and the frame's number there."""
        place = bisect.bisect_right(self._offsets, frame) - 1
        return place, frame - self._offsets[place]

    def usable(self, split: str = "all") -> Intervals:
        """The frames of `split` whose own covariates are valid, trial by trial."""
        return Intervals(self._usable.table[self._in_split(split)[self._segments.find(self._usable.starts)]])

    def scored(self, split: str = "all", context: int | None = None) -> Intervals:
        """The frames of `split` that count: valid, as are the `context` frames before them in the same trial."""
        key = (self.context if context is None else context, split)
        if key not in self._scored:
            self._scored[key] = self.usable(split).trimmed(key[0])
        return self._scored[key]

    def n_scored(self, split: str, context: int | None = None) -> int:
        """How many frames of `split` count."""
        return self.scored(split, context).total

    def clip_counts(self, starts: Sequence[int] | Ints, frames: int, context: int | None = None) -> Ints:
        """How many of the `frames` scored frames of the clips at `starts` count, (n,); reads no data."""
        first = np.asarray(starts, np.int64)
        stops = np.minimum(first + frames, self._segments.stops[self._segment_of(first)])
        return self.scored("all", context).count(first, stops)

    def clip_entries(self, starts: Sequence[int] | Ints, frames: int, context: int | None = None) -> int:
        """How many (frame, unit) entries of the clips at `starts` count; reads no data."""
        if not self._unit_valid:
            return int(self.clip_counts(starts, frames, context).sum()) * self.n_units
        first = np.asarray(starts, np.int64)
        stops = np.minimum(first + frames, self._segments.stops[self._segment_of(first)])
        return sum(int(self._unit(unit, context).count(first, stops).sum()) for unit in range(self.n_units))

    def entries(self, split: str, context: int | None = None) -> Ints:
        """How many scored frames of `split` count for each unit, (U,)."""
        scored = self.scored(split, context)
        if not self._unit_valid:
            return np.full(self.n_units, scored.total, np.int64)
        return np.array([scored.total if v is None else scored.intersection(v).total for v in self._unit_valid])

    def unit_mask(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Whether each unit counts on the global frames [start, stop), (n, U); None: all do."""
        if not self._unit_valid:
            return None
        frames = np.arange(start, stop)
        mask = np.ones((stop - start, self.n_units), bool)
        for unit, valid in enumerate(self._unit_valid):
            if valid is not None:
                mask[:, unit] = valid.contains(frames)
        return mask

    def gather(
        self,
        starts: Sequence[int] | Ints,
        *,
        context: int | None = None,
        frames: int,
        rate_true: bool = False,
        stim: bool = True,
        history: int = 0,
        features: StoredFeatures | None = None,
    ) -> SessionClips:
        """Clips whose first scored frames are the global frames `starts`, with `context` frames before them.

        Frames outside the trial of a clip's start are padded: mean grey, and 0 elsewhere. Without `stim` no movie is
        read; `history` asks for the counts of so many frames before the scored ones too; `features` are read instead of
        the movie.
        """
        context = self.context if context is None else context
        first = np.asarray(starts, np.int64)
        lows, highs = self._segments.table.take(self._segment_of(first), axis=0).T
        # one look-up for the widest of what is read; the others are columns of it
        left, right = (self._left, self._right) if self.pipelines else (0, 0)
        before = max(context + left, history)
        widest = spans_of(self._offsets, first - before, lows, highs, before + frames + right)
        scored = widest.columns(before, before + frames)
        dfs = self._mask(scored, context)
        stop = before + frames
        traced = widest.columns(before - context - left, stop + right)
        movie: torch.Tensor | Places | None = None
        if stim and features is None:
            movie = self.movie.clips(widest.columns(before - context, stop))
        return SessionClips(
            session=self.index,
            stim=None if isinstance(movie, Places) else movie,
            places=movie if isinstance(movie, Places) else None,
            levels=None if movie is None else self.levels,
            robs=self._counts("robs", scored),
            dfs=torch.from_numpy(dfs),
            behavior=self._behavior(traced, first - context - left, lows, highs) if self.pipelines else None,
            rate_true=self._counts("rate_true", scored) if rate_true and self.has_rate_true else None,
            history=self._counts("robs", widest.columns(before - history, stop)) if history else None,
            features=None if features is None else features.of_clips(first, highs, frames),
        )

    def frame(self, frame: int) -> NDArray[np.uint8]:
        """One global frame of the movie as stored, (H, W)."""
        place, own = self.place_of(frame)
        recording = self.recordings[place]
        stored: NDArray[np.uint8] = recording.stim[own * recording.factor]
        return stored

    def counts(self, start: int, stop: int, name: str = "robs") -> NDArray[np.float32]:
        """`robs` or `rate_true` of the global frames [start, stop) of one trial, (n, U)."""
        place, own = self.place_of(start)
        return self.recordings[place].counts(name, own, own + stop - start, self._units)

    def windows(self, first: Ints, lows: Ints, highs: Ints, length: int, source: str) -> Window:
        """Frames first .. first + length of a covariate, one window a row; 0 outside the trial [low, high)."""
        return self._window(spans_of(self._offsets, first, lows, highs, length), first, lows, highs, source)

    def describe(self) -> dict[str, Any]:
        """What must agree between a twin and the data it is used on, in plain types."""
        return description_of(self)

    def fingerprint(self, stim: bool = True) -> dict[str, str]:
        """That of each recording; without the movie if it is not to be compared."""
        return {r.kind: r.fingerprint(stim) for r in self.recordings}

    def _in_split(self, split: str) -> NDArray[np.bool_]:
        if split == "all":
            return np.ones(len(self._segments), bool)
        member: NDArray[np.bool_] = self._frames.split_of == SPLITS.index(split)
        return member

    def _unit(self, unit: int, context: int | None) -> Intervals:
        """The scored frames in which one unit counts."""
        key = (self.context if context is None else context, unit)
        if key not in self._unit_scored:
            valid, scored = self._unit_valid[unit], self.scored("all", key[0])
            self._unit_scored[key] = scored if valid is None else scored.intersection(valid)
        return self._unit_scored[key]

    def _segment_of(self, frames: Ints) -> Ints:
        segment = self._segments.find(frames)
        if len(frames) and (segment.min() < 0 or (frames >= self._segments.stops[segment]).any()):
            raise ContractError(f"session {self.name}: a clip starts outside its trials", hint="start inside a segment")
        return segment

    def _counts(self, name: str, spans: Spans) -> torch.Tensor:
        values = np.empty((*spans.shape, self.n_units), np.float32)

        def read(place: int, frames: Ints, out: NDArray[Any]) -> None:
            self.recordings[place].counts_at(name, frames, self._units, out)

        return torch.from_numpy(spans.fill(values, read, 0))

    def _mask(self, scored: Spans, context: int) -> NDArray[np.float32]:
        """(n, L, 1), or (n, L, U) where units differ: 1 where a frame counts."""
        intervals = self.scored("all", context)
        if scored.outside is None and intervals.hold(scored.frames[:, 0], scored.shape[1]):
            mask = np.ones((*scored.shape, 1), np.float32)
        else:
            counted = intervals.contains(scored.frames)
            if scored.outside is not None:
                counted &= ~scored.outside
            mask = counted[..., None].astype(np.float32)
        if self._unit_valid:
            mask = np.repeat(mask, self.n_units, axis=2)
            for unit, valid in enumerate(self._unit_valid):
                if valid is not None:
                    mask[..., unit] *= valid.contains(scored.frames)
        return mask

    def _window(self, spans: Spans, first: Ints, lows: Ints, highs: Ints, source: str) -> Window:
        values = np.empty((*spans.shape, self.recordings[0].width_of(source)), np.float32)
        spans.fill(values, lambda place, frames, out: self.recordings[place].signal_at(source, frames, out), 0)
        outside = None if spans.outside is None else torch.from_numpy(spans.outside)
        return Window(torch.from_numpy(values), outside, first, lows, highs)

    def _behavior(self, spans: Spans, first: Ints, lows: Ints, highs: Ints) -> torch.Tensor:
        windows = {
            source: self._window(spans, first, lows, highs, source)
            for source in dict.fromkeys(pipeline.source for pipeline in self.pipelines)
        }
        return behavior_of(self.pipelines, windows, self._left, spans.shape[1] - self._left - self._right)


def _as_slice(cids: tuple[int, ...], n_units: int) -> NDArray[np.int64] | slice:
    """Consecutive units as a slice, and all of them as the whole one, which read faster than a list."""
    if cids == tuple(range(n_units)):
        return slice(None)
    if cids == tuple(range(cids[0], cids[0] + len(cids))):
        return slice(cids[0], cids[0] + len(cids))
    return np.asarray(cids, np.int64)
