"""What do repeats of one sequence say about units: mean responses, and how near their prediction comes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.evaluation.report.passing import Predicted
from vctrain.metrics.bps import PoissonSums
from vctrain.metrics.ceilings import cc_norm, explained_variance, single_trial_correlation
from vctrain.metrics.psth_oracle import leave_one_out, oracle_sums
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
SEQUENCE = "psth_inds"
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


@dataclass
class RepeatReader:
    """Keeps counts and predictions of the repeated sequences of a session."""

    session: Session
    rows: dict[int, list[tuple[int, NDArray[np.bool_], Array, Array]]] = field(default_factory=dict)
    kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = tuple(r.kind for r in self.session.recordings if SEQUENCE in r)

    def wants(self, start: int, stop: int, kind: str) -> bool:
        """Whether the stimulus of a clip has repeats."""
        return kind in self.kinds

    def add(self, clips: Predicted) -> None:
        """Keep the clips of repeated sequences."""
        for row, (first, kind) in enumerate(zip(clips.starts.tolist(), clips.kinds, strict=True)):
            if kind in self.kinds:
                counted = clips.counted[row].numpy()
                # what lies behind the last counted frame may be of another recording
                length = int(np.flatnonzero(counted.any(1)).max(initial=-1)) + 1
                place = self.session.place_of(first)[0]
                values = (part[row, :length].double().numpy() for part in (clips.robs, clips.rhat))
                self.rows.setdefault(place, []).append((first, counted[:length], *values))

    def result(self) -> list[Psth]:
        """The sequences that have a frame in the split."""
        found = [self._sequence(place, rows) for place, rows in sorted(self.rows.items())]
        return [psth for psth in found if psth is not None]

    def _sequence(self, place: int, rows: list[tuple[int, NDArray[np.bool_], Array, Array]]) -> Psth | None:
        recording = self.session.recordings[place]
        rows = sorted((row for row in rows if len(row[1])), key=lambda row: row[0])
        if not rows:
            return None
        numbers, trials = [], []
        for first, counted, *_ in rows:
            own = self.session.place_of(first)[1]
            # a bin of several frames of the file is one bin of the sequence
            number = recording.first_of_bins(SEQUENCE, np.arange(own, own + len(counted))) // recording.factor
            # a frame that counts for no unit is no bin of this repeat
            numbers.append(np.where(counted.any(1), number, -1.0))
            trials.append(np.repeat(self.session.trials_at([first]), len(counted)))
        counted, robs, rhat = (np.concatenate([row[part] for row in rows]) for part in (1, 2, 3))
        number = np.concatenate(numbers)
        return (
            _psth(recording.kind, number, np.concatenate(trials), robs, rhat, counted) if (number >= 0).any() else None
        )


def _psth(
    kind: str, numbers: Array, trials: NDArray[np.int64], robs: Array, rhat: Array, counted: NDArray[np.bool_]
) -> Psth:
    arranged = arrange(numbers, trials)
    repeats = arranged.repeats(robs, counted)
    rate = repeats.predicted(arranged.place(rhat))
    normalised = cc_norm(repeats, rate)
    scored = leave_one_out(repeats)[1]
    own = PoissonSums.of(*(torch.from_numpy(part) for part in (rate, repeats.counts, scored)))
    figures = {
        "cc_norm": normalised.cc_norm,
        "cc_max": normalised.cc_max,
        "cc_abs": normalised.cc_abs,
        "feve": explained_variance(repeats, rate).feve,
        "single_trial": single_trial_correlation(repeats, rate),
        "bps": own.bits_per_spike().numpy(),
        "psth_oracle_bps": oracle_sums(repeats).bits_per_spike().numpy(),
    }
    n = repeats.repeats_per_bin()
    error = np.sqrt(repeats.variance() / np.maximum(n, 1))
    means = repeats.psth(), error, repeats.mean(rate)
    return Psth(kind, len(arranged.trials), arranged.numbers, *means, n, figures)
