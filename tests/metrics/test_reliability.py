"""Signal power and split halves: the published formulas, their expected values, and missing entries."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from made_repeats import ended_early, poisson, power_by_pairs, rates, sahani_linden
from scipy.stats import pearsonr

from vctrain.errors import UsageError
from vctrain.metrics.reliability import signal, split_halves
from vctrain.metrics.repeats import Minimum, Repeats

FEW = Minimum(repeats=2, bins=2, share=0)


def test_signal_power_of_complete_repeats_is_as_published() -> None:
    counts = poisson(0, rates(0, 60, 5), 7)
    found = signal(Repeats.of(counts))
    expected = [sahani_linden(counts[..., unit]) for unit in range(5)]
    np.testing.assert_allclose(found.power, expected, rtol=1e-10)
    np.testing.assert_allclose(found.psth, counts.mean(0).var(0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(found.noise, counts.var(0, ddof=1).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.cc_max(), np.sqrt(np.array(expected) / found.psth), rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), repeats=st.integers(3, 5), bins=st.integers(3, 6), share=st.floats(0.5, 1.0))
def test_signal_power_is_the_mean_over_pairs_of_repeats(seed: int, repeats: int, bins: int, share: float) -> None:
    counts = poisson(seed, rates(seed, bins, 3, level=2), repeats)
    valid = np.random.default_rng(seed).random(counts.shape) < share
    found = signal(Repeats.of(counts, valid), FEW)
    for unit in range(3):
        if (valid[..., unit].sum(0) >= 2).sum() < 2:
            assert math.isnan(found.power[unit])
        else:
            expected = power_by_pairs(counts[..., unit], valid[..., unit], 2)
            assert found.power[unit] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("missing", ["nothing", "ends", "anything"])
def test_signal_power_is_unbiased(missing: str) -> None:
    """Units are 1,500 simulations of one; noise within a repeat is correlated by an offset."""
    bins, repeats, units = 40, 6, 1500
    rate = 1.0 + rates(1, bins, 1, level=1.0)
    generator = np.random.default_rng(2)
    offset = generator.uniform(-0.5, 0.5, (repeats, 1, units))
    counts = generator.poisson(rate + offset, (repeats, bins, units)).astype(float)
    mask = {
        "nothing": np.ones((repeats, bins), bool),
        "ends": ended_early(3, repeats, bins, 15) | (np.arange(repeats)[:, None] < 2),
        "anything": np.random.default_rng(4).random((repeats, bins)) < 0.8,
    }[missing]
    found = signal(Repeats.of(counts, mask), Minimum(repeats=2, bins=10))
    used = mask.sum(0) >= 2
    expected = rate[used].var(ddof=1)
    standard_error = found.power.std() / math.sqrt(units)
    assert abs(found.power.mean() - expected) < 4 * standard_error
    assert standard_error < 0.03 * expected


def test_a_unit_without_signal_rarely_has_one() -> None:
    found = signal(Repeats.of(poisson(0, np.full((200, 2000), 0.4), 8)))
    assert abs(found.power.mean()) < 4 * found.power.std() / math.sqrt(2000)
    assert found.power.std() == pytest.approx(found.null_sd.mean(), rel=0.06)
    assert (~np.isnan(found.cc_max())).mean() < 0.05


def test_the_ceiling_of_poisson_counts_is_the_closed_form() -> None:
    """CC_max^2 = var(mu) / (var(mu) + mean(mu) / R) for counts whose variance is their mean."""
    repeats, rate = 20, rates(5, 400, 60)
    counts = Repeats.of(poisson(6, rate, repeats))
    power = rate.var(0, ddof=1)
    expected = np.sqrt(power / (power + rate.mean(0) / repeats))
    assert np.abs(signal(counts).cc_max() - expected).mean() < 0.02
    assert (signal(counts).cc_max() - expected).mean() == pytest.approx(0, abs=0.005)
    halves = split_halves(counts)
    assert (halves.cc_max() - expected).mean() == pytest.approx(0, abs=0.005)
    assert (halves.cc_half - power / (power + 2 * rate.mean(0) / repeats)).mean() == pytest.approx(0, abs=0.01)
    assert halves.splits.tolist() == [500] * 60


def by_loops(counts: np.ndarray, valid: np.ndarray, least: int) -> float:
    """Mean over all halves of one unit ``(R, T)``."""
    found = []
    for members in itertools.combinations(range(len(counts)), len(counts) // 2):
        first = np.isin(np.arange(len(counts)), members)
        pairs = [
            (counts[first & valid[:, t], t].mean(), counts[~first & valid[:, t], t].mean())
            for t in range(counts.shape[1])
            if valid[:, t].sum() >= least and (first & valid[:, t]).any() and (~first & valid[:, t]).any()
        ]
        if len(pairs) >= 2:
            a, b = np.array(pairs).T
            found.append(0.0 if np.ptp(a) == 0 or np.ptp(b) == 0 else pearsonr(a, b).statistic)
    return float(np.mean(found))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), repeats=st.integers(3, 6), share=st.sampled_from([1.0, 0.8]), whole=st.booleans())
def test_halves_are_correlated_as_by_loops(seed: int, repeats: int, share: float, whole: bool) -> None:
    counts = poisson(seed, rates(seed, 12, 3, level=1), repeats)
    valid = np.random.default_rng(seed).random(counts.shape) < share
    if whole:
        valid[:] = valid[..., :1]
    found = split_halves(Repeats.of(counts, valid), FEW)
    for unit in range(3):
        psth = np.array([np.mean(counts[v, t, unit]) for t, v in enumerate(valid[..., unit].T) if v.sum() >= 2])
        if len(psth) >= 2 and np.ptp(psth) > 0 and valid[..., unit].any(1).all():
            assert found.cc_half[unit] == pytest.approx(by_loops(counts[..., unit], valid[..., unit], 2), abs=1e-10)


def test_random_halves_approach_all_halves() -> None:
    counts = Repeats.of(poisson(0, rates(0, 50, 4), 12))
    every = split_halves(counts, splits=1000)
    assert every.splits.tolist() == [math.comb(12, 6)] * 4
    some = split_halves(counts, splits=400, seed=3)
    assert np.abs(every.cc_half - some.cc_half).max() < 0.02
    assert np.array_equal(some.cc_half, split_halves(counts, splits=400, seed=3).cc_half)
    assert not np.array_equal(some.cc_half, split_halves(counts, splits=400, seed=4).cc_half)
    with pytest.raises(UsageError, match="0 split halves"):
        split_halves(counts, splits=0)


def test_a_split_is_worth_the_same_in_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = ended_early(0, 30, 40, 25)
    counts = Repeats.of(poisson(0, rates(0, 40, 3), 30), mask)
    whole = split_halves(counts)
    monkeypatch.setattr("vctrain.metrics.reliability.BLOCK", 1)
    np.testing.assert_allclose(split_halves(counts).cc_half, whole.cc_half, rtol=1e-12)


def test_ceilings_that_are_undefined_are_nan() -> None:
    counts = poisson(0, rates(0, 40, 5, level=2), 6)
    counts[..., 1] = 0  # silent
    counts[..., 2] = 3  # the same everywhere
    counts[3:, :, 3] = np.nan  # three repeats
    counts[:, 10:, 4] = np.nan  # ten bins
    repeats = Repeats.of(counts)
    for ceiling in (signal(repeats).cc_max(), split_halves(repeats).cc_max(), split_halves(repeats).cc_half):
        assert np.isnan(ceiling).tolist() == [False, True, True, True, True]
    assert split_halves(repeats).splits.tolist() == [20, 0, 0, 0, 0]


def test_a_half_without_a_spike_shows_nothing_that_repeats() -> None:
    """Two spikes in one bin, in two of four repeats: of 6 halves, 4 hold one spike each and correlate 1."""
    counts = np.zeros((4, 30, 1))
    counts[:2, 7] = 1
    assert split_halves(Repeats.of(counts)).cc_half == pytest.approx([4 / 6])


def test_a_split_that_leaves_too_few_bins_is_not_counted() -> None:
    counts = poisson(0, rates(0, 20, 1, level=2), 4)
    counts[2:, 5] = np.nan  # of 6 halves, 2 put both repeats that hold this bin on one side
    repeats = Repeats.of(counts)
    assert split_halves(repeats, Minimum(repeats=2, bins=20)).splits.tolist() == [4]
    assert split_halves(repeats, Minimum(repeats=2, bins=19)).splits.tolist() == [6]
