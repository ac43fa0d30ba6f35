"""A permutation that is computed item by item is one, depends on its key alone, and looks random."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.permutation import Permutation


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_every_item_comes_once(n: int, key: int) -> None:
    items = Permutation(n, (key,))(np.arange(n))
    assert sorted(items.tolist()) == list(range(n))
    assert Permutation(n, (key,))(np.array([n // 2]))[0] == items[n // 2]


def test_every_item_is_equally_likely_at_every_place() -> None:
    n, keys = 7, 3000
    orders = np.stack([Permutation(n, (key, 1))(np.arange(n)) for key in range(keys)])
    table = np.stack([(orders == item).sum(0) for item in range(n)])
    chi_square = ((table - keys / n) ** 2 / (keys / n)).sum()
    freedom = (n - 1) ** 2
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_neighbours_do_not_stay_neighbours() -> None:
    n = 10**9
    places = np.arange(5000)
    items = Permutation(n, (3,))(places)
    assert len(np.unique(items)) == len(places)
    assert abs(np.corrcoef(items[:-1], items[1:])[0, 1]) < 0.07
    assert abs(items.mean() / n - 0.5) < 5 * 0.29 / np.sqrt(len(places))
