"""Do frames and trials follow one another as they did in the experiment?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.inspection.covariates import rows_of
from vctrain.data.inspection.findings import Findings, counted
from vctrain.data.intervals import CHUNK_FRAMES, Ints, runs_of_equal

GAP = 1.5
"""Steps of time longer than so many median steps are gaps."""
SHORT_SECONDS = 1.0
_SAMPLED_STEPS = 1 << 16


@dataclass(frozen=True)
class Trials:
    """The runs of one trial, (n, 2) frames of the file, and the number of each; negative: no trial."""

    runs: Ints
    number: NDArray[np.float64]

    @property
    def inside(self) -> Ints:
        """The runs that belong to a trial."""
        return self.runs[self.number >= 0]


def trials_of(labels: torch.Tensor) -> Trials:
    """The trials of `trial_inds`; a number that is not finite becomes -1, no trial."""

    def read(start: int, stop: int) -> NDArray[np.generic]:
        values = rows_of(labels, start, stop).astype(np.float64)
        return np.where(np.isfinite(values), values, -1.0)

    runs, number = runs_of_equal(read, len(labels))
    return Trials(runs, number.astype(np.float64))


def judge_trials(trials: Trials, rate_hz: float | None, findings: Findings, alone: bool) -> dict[str, Any]:
    """What there is to say about the trials; `rate_hz` is that of the file.

    Fewer than two trials block the use of a recording that stands `alone`.
    """
    outside = trials.runs[trials.number < 0]
    without = int((outside[:, 1] - outside[:, 0]).sum())
    if without:
        findings.problem(
            f"{counted(without, 'frame')} belong to no trial, the first at {int(outside[0, 0]):,}",
            "they are left out; if they should count, give them a trial number of 0 or more",
        )
    inside, number = trials.inside, trials.number[trials.number >= 0]
    distinct = np.unique(number)
    if len(distinct) < 2:
        findings.problem(
            f"{'one trial only' if len(distinct) else 'no trial at all'}",
            "trials are split into training and validation, so there must be several; number stretches of frames",
            blocks=alone,
        )
    fractional = number[number != np.rint(number)]
    if len(fractional):
        findings.problem(
            f"trial_inds has fractions in {counted(len(fractional), 'stretch', 'stretches')}, first {fractional[0]:g}",
            "each fraction counts as a trial of its own; were numbers averaged in downsampling? use whole numbers",
        )
    returning = len(inside) - len(distinct)
    if returning:
        findings.problem(
            f"trial numbers come back: {counted(len(inside), 'stretch', 'stretches')} of {len(distinct)} numbers",
            "stretches with one number fall into the same split; number every presentation anew if they are not one",
        )
    lengths = inside[:, 1] - inside[:, 0]
    if rate_hz and len(lengths) and (short := int((lengths < SHORT_SECONDS * rate_hz).sum())):
        findings.problem(
            f"{short:,} of {counted(len(lengths), 'trial')} shorter than {SHORT_SECONDS:g} s",
            "the first frames of a trial only warm the model up, so short trials leave little to score",
        )
    known = lengths / (rate_hz or 1.0)
    return {
        "n": len(distinct),
        "stretches": len(inside),
        "frames_without": without,
        "length_in": "seconds" if rate_hz else "frames",
        "median": float(np.median(known)) if len(known) else None,
        "shortest": float(known.min()) if len(known) else None,
        "longest": float(known.max()) if len(known) else None,
    }


@dataclass
class _Gaps:
    """Long steps of time, inside trials or between them."""

    n: int = 0
    lost: int = 0
    """Frames that would fit."""
    seconds: float = 0.0
    first: int | None = None

    def add(self, at: Ints, steps: NDArray[np.float64], median: float) -> None:
        if len(at):
            self.first = int(at[0]) if self.first is None else self.first
            self.n += len(at)
            self.lost += int(np.rint(steps / median - 1).sum())
            self.seconds += float((steps - median).sum())


@dataclass
class _Steps:
    """What one pass over t_bins finds."""

    backwards: int = 0
    first_backwards: int | None = None
    within: _Gaps = field(default_factory=_Gaps)
    between: _Gaps = field(default_factory=_Gaps)


def median_step(times: torch.Tensor) -> float | None:
    """The median step of `t_bins`, seconds, from 16 stretches spread over it; None unless positive."""
    n = len(times)
    if n < 2:
        return None
    length = min(n, _SAMPLED_STEPS // 16)
    starts = np.unique(np.linspace(0, n - length, 16).astype(np.int64)).tolist()
    steps = np.concatenate([_diff(times, start, start + length) for start in starts])
    steps = steps[np.isfinite(steps)]
    median = float(np.median(steps)) if len(steps) else 0.0
    return median if median > 0 else None


def judge_times(
    times: torch.Tensor, trials: Trials | None, stated_hz: float | None, findings: Findings
) -> dict[str, Any]:
    """What there is to say about `t_bins`: order, dropped frames, rate; `stated_hz` is that of the metadata."""
    median = median_step(times)
    steps = _steps(times, trials, median)
    if steps.first_backwards is not None:
        findings.problem(
            f"t_bins does not increase {counted(steps.backwards, 'time')}, first after frame {steps.first_backwards:,}",
            "frames must be in the order of time, in seconds on one clock; sort them, or correct the clock",
        )
    facts: dict[str, Any] = {"rate_hz": None if median is None else 1 / median, "backwards": steps.backwards}
    for name, gaps in (("dropped", steps.within), ("between_trials", steps.between)):
        facts[name] = {"gaps": gaps.n, "frames": gaps.lost, "seconds": gaps.seconds, "first": gaps.first}
    if median is None:
        return facts
    if steps.within.n:
        where = "inside trials" if trials is not None else "in a recording without trials"
        findings.problem(
            f"{counted(steps.within.lost, 'frame')} dropped in {counted(steps.within.n, 'gap')} of t_bins {where}, "
            f"first after frame {steps.within.first:,}",
            "history is taken for continuous there; start a new trial number after each gap",
        )
    if stated_hz is not None and abs(stated_hz * median - 1) > 0.01:
        findings.problem(
            f"metadata says {stated_hz:g} Hz, t_bins {1 / median:g} Hz",
            "correct rate_hz, which holds, or t_bins (seconds)",
        )
    if stated_hz is None and not 2 <= 1 / median <= 2000:
        findings.problem(f"t_bins has {1 / median:g} frames a second", "store t_bins in seconds")
    resolution = _resolution(times)
    if resolution > 0.1 * median:
        findings.problem(
            f"t_bins is {str(times.dtype).removeprefix('torch.')}, which at {float(times[-1]):g} s resolves no better "
            f"than {1000 * resolution:.2g} ms; a frame lasts {1000 * median:.3g} ms",
            "store t_bins as float64",
        )
    return facts


def _steps(times: torch.Tensor, trials: Trials | None, median: float | None) -> _Steps:
    found = _Steps()
    for start in range(0, len(times) - 1, CHUNK_FRAMES):
        steps = _diff(times, start, min(start + CHUNK_FRAMES + 1, len(times)))
        backwards = np.flatnonzero(steps <= 0)
        found.backwards += len(backwards)
        if len(backwards) and found.first_backwards is None:
            found.first_backwards = start + int(backwards[0])
        if median is None:
            continue
        long = np.flatnonzero((steps > GAP * median) & np.isfinite(steps))
        at = long + start
        inside = np.ones(len(at), bool)
        if trials is not None:
            run = np.searchsorted(trials.runs[:, 0], at, side="right")
            inside = (run == np.searchsorted(trials.runs[:, 0], at + 1, side="right")) & (trials.number[run - 1] >= 0)
        found.within.add(at[inside], steps[long[inside]], median)
        found.between.add(at[~inside], steps[long[~inside]], median)
    return found


def _diff(times: torch.Tensor, start: int, stop: int) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.diff(rows_of(times, start, stop).astype(np.float64))


def _resolution(times: torch.Tensor) -> float:
    """The distance between neighbouring numbers of a float type at the last time, seconds."""
    if not times.dtype.is_floating_point or not torch.isfinite(times[-1]):
        return 0.0
    return float(times[-1].abs()) * torch.finfo(times.dtype).eps
