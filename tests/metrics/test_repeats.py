"""Frames land in the right repeat and bin, and what is missing stays missing."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from vctrain.errors import ContractError, NumericsError, UsageError
from vctrain.metrics.repeats import Minimum, Repeats, arrange


def test_a_repeat_begins_with_a_trial_or_where_the_number_falls() -> None:
    #        trial 7 twice through, -1 and NaN outside, trial 8 starts late, trial 7 again
    number = [0, 1, 2, 0, 1, -1, math.nan, 1, 2, 3, 0]
    trial = [7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 7]
    found = arrange(number, trial)
    assert found.trials.tolist() == [7, 7, 8, 7]
    assert found.numbers.tolist() == [0, 1, 2, 3]
    placed = found.place(np.arange(11.0)[:, None])[..., 0]
    n = math.nan
    np.testing.assert_array_equal(placed, [[0, 1, 2, n], [3, 4, n, n], [n, 7, 8, 9], [10, n, n, n]])


def test_frames_dropped_within_a_repeat_do_not_begin_another() -> None:
    found = arrange([0, 1, -1, 3, 4, 0, 1, 2, 3], [0, 0, 0, 0, 0, 1, 1, 1, 1])
    placed = found.place(np.ones((9, 1)))[..., 0]
    assert (~np.isnan(placed)).tolist() == [[True, True, False, True, True], [True, True, True, True, False]]


@settings(max_examples=50, deadline=None)
@given(data=st.data(), units=st.integers(1, 3))
def test_arranging_and_looking_up_is_the_identity(data: st.DataObject, units: int) -> None:
    lengths = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=6).filter(any))
    number = np.concatenate([np.arange(length) for length in lengths])
    trial = np.repeat(np.arange(len(lengths)), lengths)
    values = np.random.default_rng(0).random((len(number), units))
    found = arrange(number, trial)
    placed = found.place(values)
    assert placed.shape == (sum(length > 0 for length in lengths), max(lengths), units)
    assert np.isfinite(placed).sum() == values.size
    np.testing.assert_array_equal(placed[found.rows, found.bins], values)
    assert found.trials.tolist() == [index for index, length in enumerate(lengths) if length]


def test_counts_and_filter_become_repeats() -> None:
    robs = np.arange(10.0).reshape(5, 2)
    robs[1, 0] = math.nan
    found = arrange([0, 1, 2, 0, 1], [0, 0, 0, 1, 1]).repeats(robs, [[1.0], [1.0], [0.0], [1.0], [math.nan]])
    assert found.valid[..., 0].tolist() == [[True, False, False], [True, False, False]]
    assert found.valid[..., 1].tolist() == [[True, True, False], [True, False, False]]
    assert found.repeats_per_bin().tolist() == [[2, 2], [0, 1], [0, 0]]
    np.testing.assert_array_equal(found.psth(), [[3, 4], [math.nan, 3], [math.nan, math.nan]])


@pytest.mark.parametrize(
    ("number", "trial", "says"),
    [
        ([-1, -1, math.nan], [0, 0, 0], "none of 3 frames"),
        ([], [], "none of 0 frames"),
        ([0, 1, 1, 2], [0, 0, 0, 0], "psth_inds is 1 for frame 1 and for 2"),
        ([0, 0.5, 1], [0, 0, 0], "psth_inds is 0.5 for frame 1"),
        ([0, math.inf], [0, 0], "psth_inds is inf for frame 1"),
        ([0, 1], [0, 0, 0], "trial_inds"),
        ([[0, 1]], [[0, 0]], "psth_inds has shape"),
    ],
)
def test_numbers_that_arrange_nothing_are_refused(number: list[float], trial: list[int], says: str) -> None:
    with pytest.raises(ContractError, match=says) as caught:
        arrange(number, trial)
    assert caught.value.hint


def test_a_missing_mask_is_a_missing_entry() -> None:
    counts = np.ones((3, 2, 1))
    mask = [[1, math.nan], [math.nan, 0], [True, 2]]
    assert Repeats.of(counts, mask).valid[..., 0].tolist() == [[True, False], [False, False], [True, True]]


def test_what_is_masked_may_hold_anything() -> None:
    counts = np.array([[[1.0]], [[-5.0]], [[math.inf]], [[math.nan]]])
    found = Repeats.of(counts, [[1], [0], [0], [1]])
    assert found.valid.ravel().tolist() == [True, False, False, False]
    assert found.counts.ravel().tolist() == [1, 0, 0, 0]
    assert found.predicted([[[2.0]], [[math.nan]], [[math.inf]], [[math.nan]]]).ravel().tolist() == [2, 0, 0, 0]


@pytest.mark.parametrize(
    ("counts", "mask", "says"),
    [
        (np.ones((3, 2)), None, r"shape \(3, 2\)"),
        (np.ones((3, 2, 1)), np.ones((2, 3)), r"mask has shape \(2, 3\)"),
        (np.ones((3, 2, 4)), np.ones((3, 2, 1)), "mask"),
        (np.full((3, 2, 1), -1.0), None, "count of unit 0 in bin 0 of repeat 0 is -1.0"),
        (np.full((3, 2, 1), np.inf), None, "is inf"),
    ],
)
def test_counts_that_are_none_are_refused(counts: np.ndarray, mask: np.ndarray | None, says: str) -> None:
    with pytest.raises(ContractError, match=says):
        Repeats.of(counts, mask)


def test_predictions_are_refused_where_they_count() -> None:
    repeats = Repeats.of(np.ones((3, 2, 1)), [[1, 1], [1, 0], [1, 0]])
    with pytest.raises(ContractError, match="prediction has shape"):
        repeats.predicted(np.ones((2, 2)))
    with pytest.raises(NumericsError, match="unit 0 in bin 1 of repeat 0 is nan"):
        repeats.predicted([[1.0], [math.nan]])


def test_bins_and_units_that_do_not_suffice_are_not_used() -> None:
    valid = np.ones((4, 3, 2), bool)
    valid[0, 0] = False
    valid[0, 1, 1] = False
    repeats = Repeats.of(np.ones((4, 3, 2)), valid)
    assert repeats.used(Minimum(4, 2)).tolist() == [[False, False], [True, False], [True, False]]
    assert repeats.used(Minimum(3, 3)).all()
    assert repeats.used(Minimum(2, 2, share=0.9)).tolist() == repeats.used(Minimum(4, 2)).tolist()
    for wrong in ({"repeats": 1}, {"bins": 1}, {"share": -0.1}, {"share": 1.1}, {"share": math.nan}):
        with pytest.raises(UsageError, match="asked for"):
            Minimum(**wrong)
