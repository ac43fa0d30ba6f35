"""Which count belongs to which repeat and which bin of a sequence that was shown several times?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vctrain.errors import ContractError, NumericsError, UsageError
from vctrain.metrics.masked import Bools, Floats, variance

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Minimum:
    """What a figure needs: at least ``bins`` bins that at least ``repeats`` repeats of the unit hold, and at least
    ``share`` of the repeats that its best-held bin has.

    Other bins count nowhere; a unit with fewer bins has NaN. The share keeps out the ends that only few long trials
    reach, whose noise would count like any other bin. Raises UsageError below 2 repeats or bins, and for a share
    outside [0, 1].
    """

    repeats: int = 4
    bins: int = 20
    share: float = 0.25

    def __post_init__(self) -> None:
        for name, value in (("repeats", self.repeats), ("bins", self.bins)):
            if value < 2:
                raise UsageError(
                    f"at least {value} {name} asked for", hint=f"a variance needs 2 {name}: ask for 2 or more"
                )
        if not 0 <= self.share <= 1:
            raise UsageError(f"a share of {self.share} of the repeats asked for", hint="give a number from 0 to 1")


MINIMUM = Minimum()


@dataclass(frozen=True)
class Repeats:
    """Counts of the repeats of one sequence: ``counts`` float64 ``(R, T, U)``, spikes per bin, 0 where ``valid`` (bool,
    same shape) is False.
    """

    counts: Floats
    valid: Bools

    @classmethod
    def of(cls, counts: ArrayLike, mask: ArrayLike | None = None) -> Repeats:
        """From ``counts`` ``(R, T, U)`` and ``mask`` ``(R, T)`` or ``(R, T, U)``, numbers or bool.

        An entry is valid where its mask is greater than 0 and its count is not NaN: NaN on either side is a missing
        entry. Raises ContractError for other shapes and for a valid count that is negative or infinite.
        """
        given = np.asarray(counts, np.float64)
        if given.ndim != 3:
            raise ContractError(
                f"counts of repeats have shape {given.shape}", hint="give (repeats, bins, units); arrange() makes it"
            )
        valid = ~np.isnan(given)
        if mask is not None:
            wanted = np.asarray(mask)
            if wanted.shape not in (given.shape[:2], given.shape):
                raise ContractError(
                    f"the mask has shape {wanted.shape}, the counts {given.shape}",
                    hint="give one number per (repeat, bin) or per (repeat, bin, unit)",
                )
            valid &= (wanted if wanted.ndim == 3 else wanted[..., None]) > 0
        kept = np.where(valid, given, 0.0)
        wrong = (kept < 0) | np.isinf(kept)
        if wrong.any():
            repeat, time, unit = np.argwhere(wrong)[0].tolist()
            raise ContractError(
                f"the count of unit {unit} in bin {time} of repeat {repeat} is {kept[repeat, time, unit]}",
                hint="counts are spikes per bin; mark missing entries with NaN or a mask of 0",
            )
        return cls(kept, valid)

    def repeats_per_bin(self) -> Ints:
        """How many repeats hold each bin of each unit, ``(T, U)``."""
        return self.valid.sum(0, dtype=np.int64)

    def psth(self) -> Floats:
        """Mean over the valid repeats, spikes per bin, ``(T, U)``; NaN where no repeat is valid."""
        return self.mean(self.counts)

    def mean(self, values: Floats) -> Floats:
        """Mean of ``values`` ``(R, T, U)`` over the valid repeats, ``(T, U)``; NaN where no repeat is valid."""
        n = self.repeats_per_bin()
        total = np.where(self.valid, values, 0.0).sum(0)
        return np.where(n > 0, total / np.maximum(n, 1), np.nan)

    def variance(self) -> Floats:
        """Sample variance between the valid repeats of a bin, ``(T, U)``; NaN where fewer than two are valid."""
        return variance(self.counts, self.valid, axis=0)

    def used(self, minimum: Minimum) -> Bools:
        """The bins that count for each unit, ``(T, U)``; none for a unit that has too few of them."""
        n = self.repeats_per_bin()
        enough = (n >= minimum.repeats) & (n >= minimum.share * n.max(0, initial=0))
        return enough & (enough.sum(0) >= minimum.bins)

    def predicted(self, prediction: ArrayLike) -> Floats:
        """``prediction`` ``(R, T, U)`` or, the same for every repeat, ``(T, U)``, as ``(R, T, U)``; 0 where not valid.

        Raises ContractError for another shape, NumericsError where the prediction of a valid entry is not finite.
        """
        given = np.asarray(prediction, np.float64)
        if given.shape not in (self.counts.shape, self.counts.shape[1:]):
            raise ContractError(
                f"the prediction has shape {given.shape}, the counts {self.counts.shape}",
                hint="give one rate per (repeat, bin, unit) or per (bin, unit)",
            )
        rate = np.where(self.valid, given, 0.0)
        wrong = ~np.isfinite(rate)
        if wrong.any():
            repeat, time, unit = np.argwhere(wrong)[0].tolist()
            raise NumericsError(
                f"the prediction for unit {unit} in bin {time} of repeat {repeat} is {rate[repeat, time, unit]}",
                hint="mask the frames that the model cannot predict, or find where it diverged",
            )
        return rate


@dataclass(frozen=True)
class Arrangement:
    """Where the frames of repeated sequences go: frame ``frames[i]`` of F is bin ``bins[i]`` of repeat ``rows[i]``.

    ``numbers`` ``(T,)`` is the frame number within the sequence of each bin, ``trials`` ``(R,)`` the trial of each
    repeat; ``n_frames`` is F. Bins that a repeat does not have are missing.
    """

    frames: Ints
    rows: Ints
    bins: Ints
    numbers: Ints
    trials: NDArray[Any]
    n_frames: int

    def place(self, values: ArrayLike) -> Floats:
        """``values`` ``(F, U)`` as ``(R, T, U)`` float64, NaN where a repeat has no such bin.

        Raises ContractError for another number of frames.
        """
        given = np.asarray(values)
        if given.ndim != 2 or len(given) != self.n_frames:
            raise ContractError(
                f"values of shape {given.shape} for {self.n_frames} frames",
                hint="give one row per frame: (frames, units)",
            )
        placed = np.full((len(self.trials), len(self.numbers), given.shape[1]), np.nan)
        placed[self.rows, self.bins] = given[self.frames]
        return placed

    def repeats(self, robs: ArrayLike, dfs: ArrayLike) -> Repeats:
        """Counts ``robs`` ``(F, U)`` with the filter ``dfs`` ``(F, 1)`` or ``(F, U)`` as repeats."""
        counts = self.place(robs)
        return Repeats.of(counts, np.broadcast_to(self.place(dfs), counts.shape))


def arrange(psth_inds: ArrayLike, trial_inds: ArrayLike) -> Arrangement:
    """Arrange F frames, in order of time, by number within the repeated sequence and by trial, both ``(F,)``.

    A repeat is a stretch of one trial over which the number grows: where it falls, the sequence began anew. Frames
    whose number is negative or NaN belong to no sequence. Raises ContractError where no frame does, where a number is
    not whole, and where two frames of a trial in a row have the same one.
    """
    number, trial = np.asarray(psth_inds), np.asarray(trial_inds)
    if number.ndim != 1 or number.shape != trial.shape:
        raise ContractError(
            f"psth_inds has shape {number.shape}, trial_inds {trial.shape}", hint="give one number per frame for both"
        )
    frames = np.flatnonzero((number >= 0) & (trial == trial))
    if not len(frames):
        raise ContractError(
            f"none of {len(number)} frames belongs to a repeated sequence",
            hint="psth_inds numbers the frames of a sequence from 0; ceilings from repeats need it",
        )
    shown, of = number[frames].astype(np.float64), trial[frames]
    _check_whole(shown, frames)
    same_trial = of[1:] == of[:-1]
    stalled = np.flatnonzero(same_trial & (shown[1:] == shown[:-1]))
    if len(stalled):
        first = int(stalled[0])
        raise ContractError(
            f"psth_inds is {shown[first]:g} for frame {frames[first]} and for {frames[first + 1]}, of the same trial",
            hint="it counts frames within the sequence, so it must grow by at least 1 a frame",
        )
    begins = np.concatenate([[True], ~same_trial | (shown[1:] < shown[:-1])])
    numbers, bins = np.unique(shown.astype(np.int64), return_inverse=True)
    rows = np.cumsum(begins, dtype=np.int64) - 1
    return Arrangement(frames.astype(np.int64), rows, bins.astype(np.int64), numbers, of[begins], len(number))


def _check_whole(shown: Floats, frames: NDArray[np.intp]) -> None:
    broken = np.flatnonzero((shown != np.floor(shown)) | np.isinf(shown))
    if len(broken):
        first = int(broken[0])
        raise ContractError(
            f"psth_inds is {shown[first]:g} for frame {frames[first]}",
            hint="it is a whole frame number within the sequence; -1 or NaN for frames outside it",
        )
