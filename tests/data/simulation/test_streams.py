"""Are streams of different purposes independent, and of the same purpose the same?"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.simulation.streams import stream

PURPOSE = st.tuples(st.integers(0, 50), st.sampled_from(["gaborium", "backimage"]), st.sampled_from(["gaze", "spikes"]))


@given(seed=st.integers(0, 2**31), first=PURPOSE, second=PURPOSE)
def test_the_purpose_decides_the_stream(seed: int, first: tuple[int | str, ...], second: tuple[int | str, ...]) -> None:
    drawn = stream(seed, *first).random(4)
    assert np.array_equal(drawn, stream(seed, *second).random(4)) == (first == second)
    assert not np.array_equal(drawn, stream(seed + 1, *first).random(4))
