"""Normalised correlations and explained variance: as published, 1 for the true rate, and indifferent to order."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from made_repeats import ended_early, poisson, published_feve, rates, schoppe
from scipy.stats import pearsonr

from vctrain.metrics.ceilings import (
    cc_norm,
    cc_norm_by_halves,
    correlation_to_average,
    explained_variance,
    single_trial_correlation,
)
from vctrain.metrics.psth_oracle import oracle_sums
from vctrain.metrics.reliability import signal, split_halves
from vctrain.metrics.repeats import Minimum, Repeats

FEW = Minimum(repeats=2, bins=3, share=0)


def figures(repeats: Repeats, prediction: np.ndarray, minimum: Minimum = FEW) -> dict[str, np.ndarray]:
    """Every figure of every unit."""
    norm, halves = cc_norm(repeats, prediction, minimum), cc_norm_by_halves(repeats, prediction, minimum)
    explained = explained_variance(repeats, prediction, minimum)
    return {
        "power": signal(repeats, minimum).power,
        "cc_half": split_halves(repeats, minimum).cc_half,
        "cc_abs": norm.cc_abs,
        "cc_max": norm.cc_max,
        "cc_norm": norm.cc_norm,
        "cc_norm_raw": norm.raw,
        "cc_norm_by_halves": halves.cc_norm,
        "feve": explained.feve,
        "explainable": explained.explainable,
        "single_trial": single_trial_correlation(repeats, prediction, minimum),
        "oracle": oracle_sums(repeats, minimum).bits_per_spike().numpy(),
    }


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], units: object = slice(None)) -> None:
    for name, values in a.items():
        np.testing.assert_allclose(values, b[name][units], rtol=1e-7, atol=1e-9, err_msg=name)


def test_cc_norm_of_complete_repeats_is_as_published() -> None:
    rate = rates(0, 80, 4)
    counts, prediction = poisson(1, rate, 12), rate + rates(3, 80, 4)
    found = cc_norm(Repeats.of(counts), prediction)
    expected = np.array([schoppe(counts[..., unit], prediction[:, unit]) for unit in range(4)])
    np.testing.assert_allclose(np.stack([found.cc_abs, found.cc_max, found.raw], 1), expected, rtol=1e-10)
    assert (np.abs(found.raw) < 1).all()
    np.testing.assert_array_equal(found.cc_norm, found.raw)


def test_correlations_are_scipys() -> None:
    rate = rates(0, 60, 3)
    counts = poisson(1, rate, 9)
    prediction = rate * np.random.default_rng(2).uniform(0.5, 1.5, counts.shape)
    valid = np.random.default_rng(3).random(counts.shape) < 0.8
    repeats = Repeats.of(counts, valid)
    average, single = correlation_to_average(repeats, prediction), single_trial_correlation(repeats, prediction)
    for unit in range(3):
        v, r, p = valid[..., unit], counts[..., unit], prediction[..., unit]
        bins = [t for t in range(60) if v[:, t].sum() >= 4]
        expected = pearsonr([r[v[:, t], t].mean() for t in bins], [p[v[:, t], t].mean() for t in bins]).statistic
        assert average[unit] == pytest.approx(expected, abs=1e-12)
        entries = v & np.isin(np.arange(60), bins)
        assert single[unit] == pytest.approx(pearsonr(r[entries], p[entries]).statistic, abs=1e-12)


def test_explained_variance_is_as_published() -> None:
    rate = rates(0, 60, 3, level=2)
    counts, prediction = poisson(1, rate, 9), rate + 0.3 * rates(4, 60, 3)
    found = explained_variance(Repeats.of(counts), prediction)
    for unit in range(3):
        expected = published_feve(list(counts[..., unit].T), [np.full(9, prediction[t, unit]) for t in range(60)])
        assert (found.explainable[unit], found.feve[unit]) == pytest.approx(expected, abs=1e-12)


def test_explained_variance_weighs_bins_by_their_repeats() -> None:
    """With unequal repeats, noise is averaged over entries as the error and the total variance are."""
    rate = rates(0, 40, 1, level=2)
    counts, valid = poisson(1, rate, 12)[..., 0], ended_early(2, 12, 40, 8)
    prediction = rate[:, 0] + 0.2
    bins = [t for t in range(40) if valid[:, t].sum() >= 4]
    kept = [counts[valid[:, t], t] for t in bins]
    entries = np.concatenate(kept)
    noise = sum(len(r) * np.var(r, ddof=1) for r in kept) / len(entries)
    missed = np.concatenate([(r - prediction[t]) ** 2 for r, t in zip(kept, bins, strict=True)]).mean()
    total = np.var(entries, ddof=1)
    found = explained_variance(Repeats.of(counts[..., None], valid), prediction[:, None])
    assert found.explainable == pytest.approx([(total - noise) / total], abs=1e-12)
    assert found.feve == pytest.approx([1 - (missed - noise) / (total - noise)], abs=1e-12)
    assert len({len(r) for r in kept}) > 3


@pytest.mark.parametrize("trials", ["complete", "of unequal length"])
def test_the_true_rate_reaches_one(trials: str) -> None:
    """Poisson counts, 0.5 spikes per bin, 40 repeats, 300 bins; 100 units."""
    rate = rates(0, 300, 100)
    mask = None if trials == "complete" else ended_early(1, 40, 300, 60)
    repeats = Repeats.of(poisson(2, rate, 40), mask)
    halves = split_halves(repeats, splits=100)
    for found in (cc_norm(repeats, rate), cc_norm_by_halves(repeats, rate, halves=halves)):
        assert found.raw.mean() == pytest.approx(1, abs=0.005)
        assert found.cc_norm.mean() == pytest.approx(1, abs=0.02)
        assert found.cc_norm.max() <= 1 < found.raw.max()
    if trials == "complete":
        assert np.abs(cc_norm(repeats, rate).raw - 1).max() < 0.02
    feve = explained_variance(repeats, rate)
    assert feve.feve.mean() == pytest.approx(1, abs=0.01)
    weight = repeats.repeats_per_bin() * repeats.used(Minimum())
    mean = (weight * rate).sum(0) / weight.sum(0)
    power = (weight * (rate - mean) ** 2).sum(0) / weight.sum(0)
    assert (feve.explainable - power / (power + mean)).mean() == pytest.approx(0, abs=0.003)
    expected = np.sqrt(power / (power + mean))
    assert (single_trial_correlation(repeats, rate) - expected).mean() == pytest.approx(0, abs=0.003)


def test_a_true_rate_that_differs_between_repeats_reaches_one() -> None:
    """Gaze moves what a unit sees: half of the variance of its rate belongs to single repeats."""
    shared, own = rates(0, 300, 100), np.stack([rates(seed, 300, 100) for seed in range(1, 31)])
    rate = shared + own
    counts = np.random.default_rng(99).poisson(rate).astype(float)
    for mask in (None, ended_early(1, 30, 300, 60)):
        repeats = Repeats.of(counts, mask)
        found, explained = cc_norm(repeats, rate), explained_variance(repeats, rate)
        assert found.raw.mean() == pytest.approx(1, abs=0.01)
        assert found.cc_norm.mean() == pytest.approx(1, abs=0.02)
        assert explained.feve.mean() == pytest.approx(1, abs=0.02)
        # What the stimulus alone allows is as good by these figures, and worse repeat by repeat.
        assert cc_norm(repeats, shared).raw.mean() == pytest.approx(1, abs=0.01)
        assert explained_variance(repeats, shared + 0.5).feve.mean() == pytest.approx(1, abs=0.02)
        assert (single_trial_correlation(repeats, rate) > single_trial_correlation(repeats, shared)).all()


def test_a_worse_model_has_the_closed_form() -> None:
    """A prediction with independent variance as large as the signal's correlates sqrt(1/2) with the true rate."""
    rate = rates(0, 500, 100, level=1)
    other = rates(1, 500, 100, level=1)
    repeats = Repeats.of(poisson(2, rate, 30))
    truth = np.array([pearsonr(rate[:, u], (rate + other)[:, u]).statistic for u in range(100)])
    assert np.abs(cc_norm(repeats, rate + other).raw - truth).max() < 0.05
    assert (cc_norm(repeats, rate + other).raw - truth).mean() == pytest.approx(0, abs=0.005)
    # FEVE of the mean rate is 0, of half the modulation 3/4.
    mean = rate.mean(0) + 0 * rate
    assert explained_variance(repeats, mean).feve.mean() == pytest.approx(0, abs=0.005)
    assert explained_variance(repeats, (rate + mean) / 2).feve.mean() == pytest.approx(0.75, abs=0.01)


def test_noise_does_not_count_as_a_ceiling() -> None:
    repeats = Repeats.of(poisson(0, np.full((300, 400), 0.5), 8))  # 8 have 70 halves
    prediction = rates(1, 300, 400)
    for found in (cc_norm(repeats, prediction), cc_norm_by_halves(repeats, prediction)):
        assert np.isnan(found.raw).mean() > 0.93
        assert np.isfinite(found.cc_abs).all()
    explained = explained_variance(repeats, prediction)
    assert np.isnan(explained.feve).mean() > 0.95
    assert np.abs(explained.explainable).max() < 0.05
    assert np.isnan(explained_variance(repeats, prediction, threshold=0.05).feve).all()


def test_a_constant_side_has_no_correlation() -> None:
    rate = rates(0, 40, 2)
    repeats = Repeats.of(poisson(1, rate, 8))
    flat = np.full_like(rate, 0.1)
    assert np.isnan(correlation_to_average(repeats, flat)).all()
    assert np.isnan(single_trial_correlation(repeats, flat)).all()
    assert np.isnan(cc_norm(repeats, flat).raw).all()
    silent = figures(Repeats.of(np.zeros((8, 40, 2))), rate)
    assert all(np.isnan(values).all() for name, values in silent.items() if name != "power")
    assert (silent["power"] == 0).all()


def test_padded_trials_of_unequal_length_are_not_valid() -> None:
    """The defect of old: NaN in the mask read as true made the unit NaN, and the ratio exceeded 1."""
    rate = rates(0, 60, 3)
    ends = ended_early(1, 30, 60, 20)
    counts = np.where(ends[..., None], poisson(2, rate, 30), np.nan)
    prediction = np.where(ends[..., None], rate, np.nan)
    padded = figures(Repeats.of(counts, np.where(ends, 1.0, np.nan)), prediction)
    proper = figures(Repeats.of(np.nan_to_num(counts, nan=99.0), ends), np.broadcast_to(rate, counts.shape))
    assert_same(padded, proper)
    assert all(np.isfinite(padded[name]).all() for name in ("cc_norm", "cc_norm_by_halves", "cc_abs", "oracle"))
    assert max(padded["cc_norm"].max(), padded["cc_norm_by_halves"].max()) <= 1


made = st.fixed_dictionaries({"seed": st.integers(0, 2**31), "repeats": st.integers(4, 7), "share": st.floats(0.6, 1)})


def drawn(case: dict[str, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, mask and predictions ``(R, T, U)``."""
    seed, repeats = int(case["seed"]), int(case["repeats"])
    rate = rates(seed, 15, 3, level=1.5)
    generator = np.random.default_rng(seed)
    prediction = rate * generator.uniform(0.5, 1.5, (repeats, *rate.shape))
    return poisson(seed, rate, repeats), generator.random((repeats, *rate.shape)) < case["share"], prediction


@settings(max_examples=12, deadline=None)
@given(case=made)
def test_the_order_of_repeats_bins_and_units_does_not_matter(case: dict[str, float]) -> None:
    counts, valid, prediction = drawn(case)
    whole = figures(Repeats.of(counts, valid), prediction)
    generator = np.random.default_rng(0)
    for axis in range(3):
        order = generator.permutation(counts.shape[axis])
        shuffled = figures(Repeats.of(counts.take(order, axis), valid.take(order, axis)), prediction.take(order, axis))
        assert_same(shuffled, whole, order if axis == 2 else slice(None))
    for unit in range(3):
        one = np.s_[..., unit : unit + 1]
        assert_same(figures(Repeats.of(counts[one], valid[one]), prediction[one]), whole, slice(unit, unit + 1))


@settings(max_examples=25, deadline=None)
@given(
    case=made, filler=st.sampled_from([0.0, 1e6, -3.0, math.nan, math.inf]), missing=st.sampled_from([0.0, math.nan])
)
def test_masked_entries_are_as_good_as_dropped(case: dict[str, float], filler: float, missing: float) -> None:
    counts, valid, prediction = drawn(case)
    whole = figures(Repeats.of(counts, valid), prediction)
    wide = [(1, 2), (2, 1), (0, 0)]
    counts, prediction = (
        np.pad(np.where(valid, values, filler), wide, constant_values=filler) for values in (counts, prediction)
    )
    mask = np.pad(np.where(valid, 1.0, missing), wide, constant_values=missing)
    assert_same(figures(Repeats.of(counts, mask), prediction), whole)


@settings(max_examples=25, deadline=None)
@given(case=made, gain=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
def test_correlations_ignore_the_scale_of_predictions(case: dict[str, float], gain: float, offset: float) -> None:
    counts, valid, prediction = drawn(case)
    repeats = Repeats.of(counts, valid)
    measures: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda p: correlation_to_average(repeats, p, FEW),
        lambda p: single_trial_correlation(repeats, p, FEW),
        lambda p: cc_norm(repeats, p, FEW).raw,
        lambda p: cc_norm_by_halves(repeats, p, FEW).raw,
    ]
    for measure in measures:
        np.testing.assert_allclose(measure(gain * prediction + offset), measure(prediction), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(measure(-gain * prediction), -measure(prediction), rtol=1e-6, atol=1e-8)
