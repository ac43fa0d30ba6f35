"""A lookup counts as a binary search does, however evenly the numbers lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.lookup import Lookup

STEPS = {
    "even": st.just(1170),
    "uneven": st.integers(1, 3000),
    "a few long ones among many short ones": st.sampled_from([1] * 20 + [10**12]),
}


@pytest.mark.parametrize("steps", list(STEPS))
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_it_counts_as_a_binary_search(steps: str, data: st.DataObject) -> None:
    values = np.cumsum(np.array(data.draw(st.lists(STEPS[steps], max_size=60)), np.int64))
    places = data.draw(st.lists(st.integers(-5, 10**5), min_size=1, max_size=30))
    edges = [n + d for n in values.tolist() for d in (-1, 0, 1)]
    x = np.array([*places, *edges], np.int64)
    np.testing.assert_array_equal(Lookup(values)(x), np.searchsorted(values, x, side="right"))


def test_it_steps_only_a_little_unless_many_numbers_share_a_place() -> None:
    generator = np.random.default_rng(0)
    even = Lookup(np.cumsum(generator.integers(200, 3000, 100_000)))
    assert even._steps is not None
    crowded = np.ones(100_000, np.int64)
    crowded[50_000] = 10**12
    assert Lookup(np.cumsum(crowded))._steps is None
