"""What does a twin read of one session: which frames are scored, and the clips of any of them?"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.datasets import SessionSpec
from vctrain.data.clips import MEAN_GREY, SessionClips
from vctrain.data.intervals import Intervals, Ints
from vctrain.data.recordings import Recording
from vctrain.data.signals import Pipeline, Window, behavior_of
from vctrain.data.splits import TRAIN, VAL
from vctrain.errors import ContractError

SPLITS = ("train", "val", "all")


class Session:
    """All recordings of one session, joined end to end in frames of the twin; opened by ``open_sessions``.

    A global frame is the offset of its type plus its frame there. Memory does not grow with frames, only with the
    number of trials and of gaps in eye tracking.
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
        segments: Ints,
        split_of: NDArray[np.int8],
        valid: Intervals,
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
        self._segments = Intervals(segments)
        self._split_of = split_of
        self._usable = self._segments.intersection(valid)
        self._scored: dict[tuple[int, str], Intervals] = {}
        self._units = _as_slice(cids)
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

    def segments(self, split: str = "all") -> Ints:
        """(n, 2) int64: [start, stop) of every run of one trial that belongs to `split`."""
        return self._segments.table[self._in_split(split)]

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

    def gather(
        self, starts: Sequence[int] | Ints, *, context: int | None = None, frames: int, rate_true: bool = False
    ) -> SessionClips:
        """Clips whose first scored frames are the global frames `starts`, with `context` frames before them.

        Frames outside the trial of a clip's start are padded: mean grey, and 0 elsewhere.
        """
        context = self.context if context is None else context
        first = np.asarray(starts, np.int64)
        segment = self._segment_of(first)
        lows, highs = self._segments.starts[segment], self._segments.stops[segment]
        stim = torch.empty((len(first), context + frames, self.height, self.width), dtype=torch.uint8)
        self._fill_movie(stim.numpy(), first - context, lows, highs)
        grid = first[:, None] + np.arange(frames)
        counted = self.scored("all", context).contains(grid) & (grid < highs[:, None])
        return SessionClips(
            session=self.index,
            stim=stim,
            robs=self._counts("robs", first, highs, frames),
            dfs=torch.from_numpy(counted[..., None].astype(np.float32)),
            behavior=self._behavior(first - context, lows, highs, context + frames) if self.pipelines else None,
            rate_true=self._counts("rate_true", first, highs, frames) if rate_true and self.has_rate_true else None,
        )

    def counts(self, start: int, stop: int, name: str = "robs") -> NDArray[np.float32]:
        """`robs` or `rate_true` of the global frames [start, stop) of one trial, (n, U)."""
        recording, offset = self._at(start)
        return recording.counts(name, start - offset, stop - offset, self._units)

    def windows(self, first: Ints, lows: Ints, highs: Ints, length: int, source: str) -> Window:
        """Frames first .. first + length of a covariate, one window a row; 0 outside the trial [low, high)."""
        channels = self.recordings[0].width_of(source)
        values = torch.zeros((len(first), length, channels), dtype=torch.float32)
        rows = values.numpy()
        for row, (start, low, high) in enumerate(zip(first.tolist(), lows.tolist(), highs.tolist(), strict=True)):
            begin, end = max(start, low), min(start + length, high)
            if end > begin:
                recording, offset = self._at(low)
                rows[row, begin - start : end - start] = recording.signal(source, begin - offset, end - offset)
        return Window(values, torch.from_numpy(lows - first), torch.from_numpy(highs - 1 - first))

    def describe(self) -> dict[str, Any]:
        """What must agree between a twin and the data it is used on, in plain types."""
        return {
            "name": self.name,
            "subject": self.subject,
            "lab": self.spec.lab,
            "cids": list(self.cids),
            "types": list(self.types),
            "rate_hz": self.rate_hz,
            "size": [self.height, self.width],
            "n_frames": {r.kind: r.n_frames for r in self.recordings},
            "transforms": {
                "stim": list(self.spec.transforms.stim_ops),
                "behavior": [
                    {**signal.as_dict(), "maxima": {str(k): v for k, v in pipeline.maxima.items()}}
                    for signal, pipeline in zip(self.spec.transforms.behavior, self.pipelines, strict=False)
                ],
                "downsampling": self.recordings[0].factor,
            },
            "filters": {"valid_context": self.context, "settle_seconds": self.settle_seconds},
            "split": {"train_val_split": self.spec.train_val_split, "seed": self.spec.seed},
            "behavior_dim": self.behavior_dim,
            "fingerprint": {r.kind: r.fingerprint() for r in self.recordings},
        }

    def _in_split(self, split: str) -> NDArray[np.bool_]:
        if split == "all":
            return np.ones(len(self._segments), bool)
        member: NDArray[np.bool_] = self._split_of == {"train": TRAIN, "val": VAL}[split]
        return member

    def _segment_of(self, frames: Ints) -> Ints:
        segment = self._segments.find(frames)
        if len(frames) and not self._segments.contains(frames).all():
            raise ContractError(f"session {self.name}: a clip starts outside its trials", hint="start inside a segment")
        return segment

    def _at(self, frame: int) -> tuple[Recording, int]:
        kind = bisect.bisect_right(self._offsets, frame) - 1
        return self.recordings[kind], self._offsets[kind]

    def _fill_movie(self, out: NDArray[np.uint8], first: Ints, lows: Ints, highs: Ints) -> None:
        length = out.shape[1]
        for row, (start, low, high) in enumerate(zip(first.tolist(), lows.tolist(), highs.tolist(), strict=True)):
            begin, end = max(start, low), min(start + length, high)
            recording, offset = self._at(low)
            out[row, : begin - start] = MEAN_GREY
            recording.movie_into(out[row, begin - start : end - start], begin - offset, end - offset)
            out[row, end - start :] = MEAN_GREY

    def _counts(self, name: str, first: Ints, highs: Ints, frames: int) -> torch.Tensor:
        values = torch.zeros((len(first), frames, self.n_units), dtype=torch.float32)
        rows = values.numpy()
        for row, (start, high) in enumerate(zip(first.tolist(), highs.tolist(), strict=True)):
            recording, offset = self._at(start)
            end = min(start + frames, high)
            rows[row, : end - start] = recording.counts(name, start - offset, end - offset, self._units)
        return values

    def _behavior(self, first: Ints, lows: Ints, highs: Ints, length: int) -> torch.Tensor:
        reach = self._left + length + self._right
        windows = {
            source: self.windows(first - self._left, lows, highs, reach, source)
            for source in dict.fromkeys(pipeline.source for pipeline in self.pipelines)
        }
        return behavior_of(self.pipelines, windows, self._left, length)


def _as_slice(cids: tuple[int, ...]) -> NDArray[np.int64] | slice:
    """Consecutive units as a slice, which reads faster than a list."""
    if cids == tuple(range(cids[0], cids[0] + len(cids))):
        return slice(cids[0], cids[0] + len(cids))
    return np.asarray(cids, np.int64)
