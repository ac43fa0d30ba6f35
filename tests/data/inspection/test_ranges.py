"""Are ranges those of all finite values, however the reading is cut into pieces?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vctrain.data.inspection import covariates as module
from vctrain.data.inspection.covariates import Range, bytes_to_read, pieces, read, rows_of

ARRAYS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 3)),
    elements=st.one_of(st.floats(-5, 5, width=32), st.sampled_from([np.nan, np.inf, -np.inf])),
)


@given(ARRAYS, st.lists(st.integers(1, 29)))
def test_a_range_is_that_of_the_finite_values(values, cuts):
    found = Range()
    edges = [0, *sorted({cut for cut in cuts if cut < len(values)}), len(values)]
    for start, stop in itertools.pairwise(edges):
        found.add(start, values[start:stop])
    finite = np.isfinite(values)
    bad = np.flatnonzero(~finite.all(axis=1))
    assert found.facts() == {
        "min": float(values[finite].min()) if finite.any() else None,
        "max": float(values[finite].max()) if finite.any() else None,
        "not_finite": int((~finite).sum()),
        "frames_not_finite": len(bad),
        "first_not_finite": int(bad[0]) if len(bad) else None,
        "frames_checked": len(values),
    }


@pytest.mark.parametrize("shape", [(0,), (1,), (1000, 7), (5, 0), (40, 3, 3)])
def test_small_covariates_are_read_whole_and_in_order(shape, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    covariate = torch.arange(int(np.prod(shape)), dtype=torch.int16).reshape(shape)
    got = list(read(covariate))
    assert [start for start, _ in got] == np.cumsum([0, *(len(values) for _, values in got)])[:-1].tolist()
    assert sum(len(values) for _, values in got) == len(covariate)
    if covariate.numel():
        assert np.array_equal(np.concatenate([values for _, values in got]), covariate.numpy())
    assert bytes_to_read(covariate) == covariate.numel() * 2


def test_of_a_long_movie_stretches_from_start_to_end_are_read():
    movie = torch.zeros(1, 64, 64, dtype=torch.uint8).expand(200_000, 64, 64)
    chosen = pieces(movie)
    assert chosen[0] == (0, 16)
    assert chosen[-1] == (199_984, 200_000)
    assert len(chosen) == 64
    assert bytes_to_read(movie) == 64 * 16 * 4096
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(chosen))


def test_long_counts_are_read_whole():
    counts = torch.zeros(1, 200).expand(1_000_000, 200)
    chosen = pieces(counts)
    assert sum(stop - start for start, stop in chosen) == 1_000_000
    assert max(stop - start for start, stop in chosen) * 800 <= module.CHUNK_BYTES


def test_types_that_numpy_lacks_are_widened():
    values = torch.tensor([1.5, float("nan")], dtype=torch.bfloat16)
    assert rows_of(values, 0, 1).tolist() == [1.5]
    found = Range()
    found.add(0, rows_of(values, 0, 2))
    assert (found.low, found.n_bad) == (1.5, 1)
