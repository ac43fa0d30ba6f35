"""Which trial does each frame belong to?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.data.frames import TRIALLESS_SECONDS
from vctrain.data.inspection.findings import counted
from vctrain.data.intervals import Ints
from vctrain.data.making.arrays import Array, finite, shown, whole
from vctrain.data.making.binning import Times, pauses
from vctrain.errors import ContractError

OUTSIDE = -1
_WHAT = "a trial number for each frame (frames,), or start and stop times (trials, 2) in seconds"


@dataclass(frozen=True)
class Labels:
    """The trial of every frame, -1 for none."""

    number: Ints
    """(F,)"""
    parts: dict[str, int]
    """Trial that a pause interrupted, by the number that its frames after the pause got."""
    notes: tuple[str, ...]


def labels_of(trials: Array | None, times: Times | None, n_frames: int, rate_hz: float) -> Labels | None:
    """The trials as a user gives them: numbers (F,), intervals (n, 2) on the clock of `times`, or None.

    None stays None, unless `times` pause: then blocks of about 10 s stand for trials, none with a pause in it.
    Raises ContractError for a wrong shape, values that are no trials, and intervals that overlap or hold no frame.
    """
    if trials is None:
        return None if times is None else _blocks(times, rate_hz)
    if trials.ndim == 1 and len(trials) == n_frames:
        return _numbered(np.maximum(whole("trials", trials), OUTSIDE), times)
    if trials.ndim == 2 and trials.shape[1] == 2 and times is not None:
        return _from_intervals(trials, times)
    raise ContractError(f"trials is {shown(trials.shape)} for {n_frames:,} frames", hint=f"give {_WHAT}")


def interrupted(number: Ints, times: Times) -> Ints:
    """The frames after which a trial goes on after a pause."""
    same = (number[1:] == number[:-1]) & (number[1:] >= 0)
    return np.flatnonzero(same & pauses(times))


def _blocks(times: Times, rate_hz: float) -> Labels | None:
    breaks = np.flatnonzero(pauses(times)) + 1
    if not len(breaks):
        return None
    block = max(1, min(round(TRIALLESS_SECONDS * rate_hz), len(times) // 10))
    number, before = np.empty(len(times), np.int64), 0
    for stretch in np.split(np.arange(len(times)), breaks):
        parts = max(1, round(len(stretch) / block))
        number[stretch] = before + np.arange(len(stretch)) * parts // len(stretch)
        before += parts
    note = (
        f"no trials: {counted(before, 'block')} of up to {1.5 * block / rate_hz:.3g} s between pauses stand for trials"
    )
    return Labels(number, {}, (note,))


def _numbered(number: Ints, times: Times | None) -> Labels:
    notes = _common_notes(number)
    if times is not None and len(gaps := interrupted(number, times)):
        notes.append(
            f"{counted(len(gaps), 'pause')} of frame_times inside trials, first after frame {gaps[0]:,}: history is "
            "taken for continuous there; start a new trial number after each"
        )
    return Labels(number, {}, tuple(notes))


def _from_intervals(intervals: Array, times: Times) -> Labels:
    intervals = _checked(intervals.astype(np.float64))
    order = np.argsort(intervals[:, 0], kind="stable")
    found = np.searchsorted(intervals[order, 0], times, side="right") - 1
    inside = (found >= 0) & (times < intervals[order, 1][found])
    number = np.where(inside, order[found], OUTSIDE).astype(np.int64)
    empty = len(intervals) - len(np.unique(number[inside]))
    if empty == len(intervals):
        raise ContractError(
            f"no frame lies in a trial: trials last from {intervals.min():g} to {intervals.max():g} s, frames from "
            f"{times[0]:g} to {times[-1]:g} s",
            hint="are both in seconds on one clock?",
        )
    notes = [f"{counted(empty, 'trial')} without a frame"] if empty else []
    number, parts = _cut(number, times, len(intervals))
    if parts:
        notes.append(
            f"{counted(len(parts), 'pause')} inside trials: the frames after each got a new trial number, from "
            f"{len(intervals)}; see trial_parts in the metadata"
        )
    return Labels(number, parts, (*notes, *_common_notes(number)))


def _checked(intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(intervals):
        raise ContractError("trials holds no trial", hint=f"give {_WHAT}, or leave trials out")
    finite("trials", intervals, "trial")
    backwards = np.flatnonzero(intervals[:, 1] <= intervals[:, 0])
    if len(backwards):
        start, stop = intervals[backwards[0]]
        raise ContractError(
            f"trial {backwards[0]} starts at {start:g} s and stops at {stop:g} s", hint="give (start, stop) in seconds"
        )
    order = np.argsort(intervals[:, 0], kind="stable")
    overlaps = np.flatnonzero(intervals[order[1:], 0] < intervals[order[:-1], 1])
    if len(overlaps):
        one, other = order[overlaps[0]], order[overlaps[0] + 1]
        raise ContractError(
            f"trial {other} starts at {intervals[other, 0]:g} s, before trial {one} stops at {intervals[one, 1]:g} s",
            hint="a frame belongs to one trial; give intervals that do not overlap",
        )
    return intervals


def _cut(number: Ints, times: Times, fresh: int) -> tuple[Ints, dict[str, int]]:
    """New numbers, from `fresh`, for what of a trial comes after a pause in it."""
    number, parts = number.copy(), {}
    original = number.copy()
    ends = np.append(np.flatnonzero(original[1:] != original[:-1]) + 1, len(original))
    for gap in interrupted(original, times).tolist():
        end = ends[np.searchsorted(ends, gap, side="right")]
        number[gap + 1 : end] = fresh
        parts[str(fresh)] = int(original[gap])
        fresh += 1
    return number, parts


def _common_notes(number: Ints) -> list[str]:
    notes = []
    outside, distinct = int((number < 0).sum()), len(np.unique(number[number >= 0]))
    if outside:
        notes.append(f"{counted(outside, 'frame')} belong to no trial (trial_inds -1); they are never scored")
    if distinct < 2:
        notes.append(
            f"{'one trial only' if distinct else 'no frame in a trial'}: trials are split into training and "
            "validation, so this recording cannot stand alone; number stretches of frames"
        )
    return notes
