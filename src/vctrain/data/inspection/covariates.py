"""Which values does a covariate take, and where is one not finite? Read in pieces, so memory does not grow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 23
WHOLE_BYTES = 1 << 26
"""Image covariates are read whole up to this size; of larger ones frames spread over the recording are looked at."""
_PLACES, _RUN = 64, 16

Values = NDArray[Any]


def n_frames(covariate: torch.Tensor) -> int:
    """Length of the first axis; 0 without axes."""
    return len(covariate) if covariate.ndim else 0


def pieces(covariate: torch.Tensor) -> list[tuple[int, int]]:
    """The frames [start, stop) that are looked at, in order: all of them, or 64 runs of 16 spread over large movies."""
    frames = n_frames(covariate)
    if frames == 0:
        return []
    size = covariate.element_size() * covariate[0].numel()
    if covariate.ndim >= 3 and size * frames > WHOLE_BYTES and frames > _PLACES * _RUN:
        starts = np.unique(np.linspace(0, frames - _RUN, _PLACES).astype(np.int64)).tolist()
        return [(start, start + _RUN) for start in starts]
    rows = max(1, CHUNK_BYTES // max(size, 1))
    return [(start, min(start + rows, frames)) for start in range(0, frames, rows)]


def bytes_to_read(covariate: torch.Tensor) -> int:
    """Bytes of the frames that `pieces` gives."""
    if n_frames(covariate) == 0:
        return 0
    size = covariate.element_size() * covariate[0].numel()
    return size * sum(stop - start for start, stop in pieces(covariate))


def rows_of(covariate: torch.Tensor, start: int, stop: int) -> Values:
    """Frames [start, stop) as an array; small float types that numpy lacks are widened."""
    rows = covariate[start:stop]
    if rows.dtype.is_floating_point and rows.dtype not in (torch.float16, torch.float32, torch.float64):
        rows = rows.float()
    return np.asarray(rows.numpy())


def read(covariate: torch.Tensor) -> Iterator[tuple[int, Values]]:
    """The first frame and the values of each of `pieces`."""
    for start, stop in pieces(covariate):
        yield start, rows_of(covariate, start, stop)


class Range:
    """Least and greatest finite value, and what is not finite, of all pieces that were added."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.n_bad = self.n_bad_frames = self.n_checked = 0
        self.first_bad: int | None = None

    def add(self, start: int, values: Values) -> None:
        """Take in the frames from `start`."""
        self.n_checked += len(values)
        if values.size == 0:
            return
        with np.errstate(invalid="ignore"):
            low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            good = np.isfinite(values)
            bad = np.flatnonzero(~good.reshape(len(values), -1).all(axis=1))
            self.n_bad += int(good.size - np.count_nonzero(good))
            self.n_bad_frames += len(bad)
            self.first_bad = start + int(bad[0]) if self.first_bad is None else self.first_bad
            finite = values[good]
            if finite.size == 0:
                return
            low, high = float(finite.min()), float(finite.max())
        self.low, self.high = min(self.low, low), max(self.high, high)

    def facts(self) -> dict[str, Any]:
        """Plain types; None where no value is finite."""
        known = self.low <= self.high
        return {
            "min": self.low if known else None,
            "max": self.high if known else None,
            "not_finite": self.n_bad,
            "frames_not_finite": self.n_bad_frames,
            "first_not_finite": self.first_bad,
            "frames_checked": self.n_checked,
        }
