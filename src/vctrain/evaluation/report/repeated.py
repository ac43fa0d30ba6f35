"""What do repeats of one sequence say about units: mean responses, and how near their prediction comes?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Intervals
from vctrain.data.session import Session
from vctrain.evaluation.ceilings import SEQUENCE, figures_of
from vctrain.evaluation.passes import Predicted
from vctrain.metrics.repeats import arrange

FIGURES = {
    "cc_norm": "CC_norm",
    "cc_max": "CC_max",
    "cc_abs": "CC_abs",
    "feve": "FEVE",
    "single_trial": "single trial",
    "bps": "twin",
    "psth_oracle_bps": "oracle",
}
"""Of each unit, as they are called: single-trial correlation; bits per spike of the twin and of the leave-one-out
oracle on the same entries."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Psth:
    """Means over the repeats of a sequence, ``(T, K)`` in spikes a bin; NaN where no repeat has the bin."""

    kind: str
    n_repeats: int
    numbers: NDArray[np.int64]
    """(T,): frame within the sequence."""
    observed: Array
    error: Array
    """Standard error of ``observed``; NaN below two repeats."""
    predicted: Array
    repeats: NDArray[np.int64]
    """(T, K): how many repeats hold the bin."""
    figures: Mapping[str, Array]
    """`FIGURES`, each ``(K,)``, NaN where undefined."""


class RepeatReader:
    """Keeps counts and predictions of the repeated sequences of a session, for K units.

    All memory is taken at once: what stays between what comes and goes with each clip would break up the heap.
    """

    def __init__(self, session: Session, split: str, context: int, units: int) -> None:
        self.session = session
        self.kinds = tuple(r.kind for r in session.recordings if SEQUENCE in r)
        table = session.scored(split, context).table
        repeated = [session.recordings[session.place_of(start)[0]].kind in self.kinds for start in table[:, 0].tolist()]
        self.scored = Intervals(table[np.array(repeated, bool)])
        shape = self.scored.total, units
        self.robs, self.rhat = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.counted = np.zeros(shape, bool)

    def wants(self, start: int, stop: int, kind: str) -> bool:
        """Whether the stimulus of a clip has repeats."""
        return kind in self.kinds

    def add(self, clips: Predicted) -> None:
        """Keep what is scored of the clips of repeated sequences."""
        for clip, (first, kind) in enumerate(zip(clips.starts.tolist(), clips.kinds, strict=True)):
            if kind not in self.kinds:
                continue
            counted = clips.counted[clip].numpy()
            mine = np.flatnonzero(counted.any(1))
            rows = self.scored.before(first + mine)
            self.counted[rows] = counted[mine]
            self.robs[rows], self.rhat[rows] = clips.robs[clip].numpy()[mine], clips.rhat[clip].numpy()[mine]

    def result(self) -> list[Psth]:
        """The sequences that have a frame in the split."""
        frames = self.scored.at(np.arange(self.scored.total))
        found = []
        stops = itertools.accumulate(recording.n_frames for recording in self.session.recordings)
        for recording, stop in zip(self.session.recordings, stops, strict=True):
            offset = stop - recording.n_frames
            rows = slice(*np.searchsorted(frames, [offset, stop]).tolist())
            if recording.kind not in self.kinds or rows.start == rows.stop:
                continue
            # a bin of several frames of the file is one bin of the sequence
            number = np.floor(recording.labels(SEQUENCE)[frames[rows] - offset] / recording.factor)
            trials = self.session.trials_at(frames[rows])
            if (number >= 0).any():
                entries = self.robs[rows], self.rhat[rows], self.counted[rows]
                found.append(_psth(recording.kind, number, trials, *entries))
        return found


def _psth(
    kind: str,
    numbers: Array,
    trials: NDArray[np.int64],
    robs: NDArray[np.float32],
    rhat: NDArray[np.float32],
    counted: NDArray[np.bool_],
) -> Psth:
    arranged = arrange(numbers, trials)
    repeats = arranged.repeats(robs, counted)
    rate = repeats.predicted(arranged.place(rhat))
    known = figures_of(repeats, rate)
    figures = {name: known[name] for name in FIGURES}
    n = repeats.repeats_per_bin()
    error = np.sqrt(repeats.variance() / np.maximum(n, 1))
    means = repeats.psth(), error, repeats.mean(rate)
    return Psth(kind, len(arranged.trials), arranged.numbers, *means, n, figures)
