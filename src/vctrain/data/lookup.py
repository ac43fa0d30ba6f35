"""How many of many rising numbers are at most x, at a cost that does not grow with how many there are?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_MOST_STEPS = 4


class Lookup:
    """``np.searchsorted(values, x, side="right")`` of rising int64 `values`.

    A binary search of a million numbers reads twenty places, half of which no cache holds. Here the range is cut into
    equal cells, about as many as there are values, and the search starts from the first value of a cell: a guide
    table (Chen and Asau 1974). Where a cell holds too many values, it is a binary search after all.
    """

    def __init__(self, values: Ints) -> None:
        self._values = values
        self._steps: int | None = None
        n = len(values)
        if n:
            self._low, span = int(values[0]), int(values[-1]) - int(values[0])
            self._shift = max(0, (span // n).bit_length() - 1)
            cells = np.arange((span >> self._shift) + 1)
            guide = np.searchsorted(values, self._low + (cells << self._shift))
            self._guide, most = guide, int(np.diff(guide, append=n).max())
            if most <= _MOST_STEPS:
                self._steps, self._values = most, np.append(values, np.iinfo(np.int64).max)

    def __call__(self, x: Ints) -> Ints:
        """How many of the values are at most each `x`."""
        if self._steps is None:
            return np.searchsorted(self._values, x, side="right")
        # take() clips what lies before the first cell or after the last
        found: Ints = self._guide.take((x - self._low) >> self._shift, mode="clip")
        for _ in range(self._steps):
            found += self._values.take(found) <= x
        return found
