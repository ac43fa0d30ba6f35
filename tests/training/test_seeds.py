"""Random numbers of a step are its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vctrain.training.seeds import step_seed

PLACES = st.tuples(st.integers(0, 2**32), st.integers(0, 10**9), st.integers(0, 4096))


@given(PLACES, PLACES)
def test_seeds_differ_wherever_places_do(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (step_seed(*one) == step_seed(*other)) == (one == other)
    assert 0 <= step_seed(*one) < 2**63


def test_seeds_stay_what_they_are() -> None:
    """A change would make resumed runs other runs."""
    assert [step_seed(0, 0, 0), step_seed(1, 2, 3)] == [
        759540517790923586,
        3751671686878481423,
    ]
