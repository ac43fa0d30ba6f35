"""How are a billion things put in random order without a list of them?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Ints

_ROUNDS = 8
_LEAST_SIDE = 4
Words = NDArray[np.uint64]


class Permutation:
    """A pseudo-random permutation of 0 .. n - 1, computed item by item: a Feistel network over a x b items, little more
    than n, that is walked until it lands below n (Black and Rogaway 2002). The same entropy gives the same permutation.

    >>> order = Permutation(5, (0, 7))
    >>> sorted(order(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, n: int, entropy: tuple[int, ...]) -> None:
        assert n > 0
        self.n = n
        rows = max(_LEAST_SIDE, math.isqrt(n - 1) + 1)
        self._sides = np.uint64(rows), np.uint64(max(_LEAST_SIDE, -(-n // rows)))
        self._keys: Words = np.random.SeedSequence(entropy).generate_state(_ROUNDS, np.uint64).astype(np.uint64)

    def __call__(self, places: Ints) -> Ints:
        """What stands at `places`, (m,)."""
        items = self._once(np.asarray(places, np.int64).astype(np.uint64))
        while len(outside := np.flatnonzero(items >= np.uint64(self.n))):
            items[outside] = self._once(items[outside])
        return items.astype(np.int64)

    def _once(self, items: Words) -> Words:
        side, other = self._sides
        left, right = np.divmod(items, other)
        for key in self._keys:
            left, right, side, other = right, (left + _mixed(right ^ key) % side) % side, other, side
        return left * other + right


def _mixed(words: Words) -> Words:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
