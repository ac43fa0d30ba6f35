"""Which frames of a session belong to which trial and split, and which of them are valid?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.config.datasets import SessionSpec
from vctrain.data.intervals import Intervals, Ints, runs_of_equal
from vctrain.data.recordings import Recording
from vctrain.data.signals import Pipeline
from vctrain.data.splits import SPLITS, split_trials, with_stored

TRIALLESS_SECONDS = 10.0
"""Length of the blocks that stand for trials where a recording has none."""


@dataclass(frozen=True)
class Frames:
    """Which frames of a session belong to which trial and split, and which are valid; global frames."""

    segments: Ints
    """(n, 2): [start, stop) of every run of one trial, in order."""
    split_of: NDArray[np.int8]
    """(n,): TRAIN, VAL or TEST."""
    valid: Intervals
    dropped: Mapping[str, int]
    """Frames that belong to no segment, by reason."""
    trials: Mapping[str, Mapping[str, list[float]]]
    """Trial numbers by type of stimulus and split."""
    trial_of: Ints
    """(n,): which of `labels` each segment belongs to."""
    labels: tuple[tuple[str, float], ...]
    """Type of stimulus and number of every trial that has a segment."""


@dataclass(frozen=True)
class Trials:
    """The runs of one trial of a recording, (n, 2) of its own frames, and the number and split of each."""

    runs: Ints
    number: NDArray[np.generic]
    split: NDArray[np.int8]


def trials_of(spec: SessionSpec, recording: Recording, rate_hz: float, notes: list[str]) -> Trials:
    """The trials of a recording and their splits; blocks of some seconds, with a note, where it has none."""
    n = recording.n_frames
    block = max(1, min(round(TRIALLESS_SECONDS * rate_hz), n // 10))
    if "trial_inds" not in recording:
        notes.append(f"session {spec.name}: {recording.kind} has no trial_inds; split in blocks of {block} frames")
    runs, number = runs_of_equal(lambda a, b: recording.trials(a, b, block), n)
    distinct, index = np.unique(number, return_inverse=True)
    split = split_trials(distinct, spec.train_val_split, spec.seed)
    stored = None if spec.stored_trials is None else spec.stored_trials.get(recording.kind)
    if stored is not None:
        split, unknown = with_stored(distinct, split, stored)
        if unknown:
            notes.append(f"session {spec.name}: {unknown} trials of {recording.kind} that the checkpoint does not know")
    return Trials(runs, number, split[index])


def frames_of(
    recordings: Sequence[Recording],
    trials: Sequence[Trials],
    pipelines: Sequence[Pipeline],
    rate_hz: float,
    settle_seconds: float,
) -> Frames:
    """Trials, splits and valid frames of all recordings together, in global frames."""
    signals = tuple(dict.fromkeys(pipeline.source for pipeline in pipelines))
    settled = round(settle_seconds * rate_hz)
    tables, splits, valid, trial_of = [], [], [], []
    labels: list[tuple[str, float]] = []
    offset, settling, without = 0, 0, 0
    for recording, trial in zip(recordings, trials, strict=True):
        n = recording.n_frames
        inside = trial.number.astype(np.float64) >= 0
        without += int((trial.runs[~inside, 1] - trial.runs[~inside, 0]).sum())
        runs = trial.runs[inside]
        settling += int((np.minimum(runs[:, 1], settled) - np.minimum(runs[:, 0], settled)).sum())
        keep = runs[:, 1] > settled
        tables.append(np.maximum(runs[keep], settled) + offset)
        splits.append(trial.split[inside][keep])
        numbers, which = np.unique(trial.number[inside][keep].astype(np.float64), return_inverse=True)
        trial_of.append(which + len(labels))
        labels += [(recording.kind, number) for number in numbers.tolist()]
        good, value = runs_of_equal(lambda a, b, r=recording: r.valid(a, b, signals), n)  # type: ignore[misc]
        valid.append(good[value.astype(bool)] + offset)
        offset += n
    dropped = {"outside trials": without, "settling": settling}
    named = {recording.kind: _by_split(trial) for recording, trial in zip(recordings, trials, strict=True)}
    return Frames(
        np.concatenate(tables),
        np.concatenate(splits),
        Intervals(np.concatenate(valid)),
        dropped,
        named,
        np.concatenate(trial_of),
        tuple(labels),
    )


def _by_split(trials: Trials) -> dict[str, list[float]]:
    """The numbers of the trials in each split that has any, sorted."""
    inside = trials.number.astype(np.float64) >= 0
    numbers, split = trials.number[inside], trials.split[inside]
    named = {name: np.unique(numbers[split == place]).tolist() for place, name in enumerate(SPLITS)}
    return {name: listed for name, listed in named.items() if listed}
