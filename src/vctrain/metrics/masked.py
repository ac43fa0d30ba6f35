"""Mean, variance, covariance and correlation over the entries that count, for each unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ROUNDING = 1e-13
"""A standard deviation below this fraction of the root mean square is rounding: the values are constant."""


def groups(pattern: Bools) -> list[tuple[Bools, NDArray[np.intp]]]:
    """Columns of ``(K, U)`` that are the same: each distinct column ``(K,)`` with the indices of its units.

    >>> [(column.tolist(), units.tolist()) for column, units in groups(np.array([[True, False, True]]))]
    [([True], [0, 2]), ([False], [1])]
    """
    found: dict[bytes, list[int]] = {}
    for unit, column in enumerate(np.ascontiguousarray(pattern.T)):
        found.setdefault(column.tobytes(), []).append(unit)
    return [(pattern[:, units[0]], np.array(units)) for units in found.values()]


def centred(values: Floats, counted: Bools, axis: Any = -2) -> Floats:
    """``values`` less their mean over the counted entries of ``axis``; 0 where not counted, whatever is there."""
    n = np.maximum(counted.sum(axis, keepdims=True), 1)
    kept = np.where(counted, values, 0.0)
    return np.where(counted, kept - kept.sum(axis, keepdims=True) / n, 0.0)


def covariance(a: Floats, b: Floats, counted: Bools, axis: Any = -2) -> Floats:
    """Sample covariance (divided by n - 1) over the counted entries of ``axis``; NaN where fewer than two count."""
    n = counted.sum(axis)
    products = (centred(a, counted, axis) * centred(b, counted, axis)).sum(axis)
    return np.where(n > 1, products / np.maximum(n - 1, 1), np.nan)


def variance(a: Floats, counted: Bools, axis: Any = -2) -> Floats:
    """Sample variance (divided by n - 1), exactly 0 for constant values; NaN where fewer than two entries count."""
    n = np.maximum(counted.sum(axis), 1)
    found = covariance(a, a, counted, axis)
    square = (np.where(counted, a, 0.0) ** 2).sum(axis) / n
    return np.where(found <= ROUNDING**2 * square, 0.0, found) + 0 * found


def ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """``above / below``; NaN where ``below`` is not positive.

    >>> ratio(np.array([1.0, 1.0, 1.0]), np.array([2.0, 0.0, np.nan])).tolist()
    [0.5, nan, nan]
    """
    usable = below > 0
    return np.where(usable, above / np.where(usable, below, 1.0), np.nan)


def correlation(a: Floats, b: Floats, counted: Bools, axis: Any = -2) -> Floats:
    """Pearson's (1895) correlation over the counted entries of ``axis``, in [-1, 1]; NaN where fewer than two count or
    either side is constant.
    """
    scale = np.sqrt(variance(a, counted, axis)) * np.sqrt(variance(b, counted, axis))
    return np.clip(ratio(covariance(a, b, counted, axis), scale), -1.0, 1.0)
