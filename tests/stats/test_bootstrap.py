"""Intervals that cover as they say, from sums of trials."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vctrain.metrics.poisson import bits_per_spike, difference, mean_known, with_gradient
from vctrain.stats.bootstrap import FEWEST_TRIALS, bootstrap, mean_of, signed_rank

BASE = 0.15


def simulated(generator: np.random.Generator, trials: int, units: int, slopes: tuple[float, ...] = (0.5,)) -> NDArray:
    """Sums over trials of 60 frames, (trials, 4 per slope, units), for models that underrate a shared drive whose
    trials differ; the last axes are n, r, rhat, r ln rhat."""
    drive = generator.normal(size=(trials, 60, 1)) + 0.3 * generator.normal(size=(trials, 1, 1))
    own = generator.normal(size=(trials, 60, units))
    counts = generator.poisson(BASE * np.exp(0.7 * drive + 0.3 * own - 0.35))
    found = []
    for slope in slopes:
        rate = BASE * np.exp(slope * drive - slope**2 / 2) * np.ones(units)
        found += [np.full((trials, units), 60.0), counts.sum(1), rate.sum(1), (counts * np.log(rate)).sum(1)]
    return np.stack(found, axis=1).astype(float)


@pytest.fixture(scope="module")
def truth() -> NDArray:
    """Sums of so many trials that their figure is that of the models."""
    generator = np.random.default_rng(1)
    return sum(simulated(generator, 5000, 3, (0.5, 0.7)).sum((0, 2)) for _ in range(24))


@pytest.mark.parametrize("trials", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_intervals_cover_the_true_value_in_93_to_97_of_100_simulations(truth: NDArray, trials: int) -> None:
    generator = np.random.default_rng(2)
    true = bits_per_spike(truth[:4, None])[0]
    unit, mean, simulations = 0, 0, 2000
    for seed in range(simulations):
        each, together = bootstrap(simulated(generator, trials, 3), with_gradient, replicates=500, seed=seed)
        low, high = each.interval()
        unit += low[0] <= true <= high[0]
        low, high = together.interval()
        mean += low <= true <= high
    assert 0.93 <= unit / simulations <= 0.97
    assert 0.93 <= mean / simulations <= 0.97


@pytest.mark.slow
def test_intervals_of_differences_cover_and_are_narrower(truth: NDArray) -> None:
    generator = np.random.default_rng(3)
    true = difference(truth[:, None])[0][0]
    covered, simulations, narrower = 0, 1000, []
    for seed in range(simulations):
        sums = simulated(generator, 60, 3, (0.5, 0.7))
        _, together = bootstrap(sums, difference, replicates=500, seed=seed)
        low, high = together.interval()
        covered += low <= true <= high
        if seed < 20:
            _, one = bootstrap(sums[:, 4:], with_gradient, replicates=500, seed=seed)
            narrower.append((high - low) / float(np.diff(one.interval())[0]))
    assert 0.93 <= covered / simulations <= 0.97
    assert np.median(narrower) < 0.7


@pytest.mark.slow
def test_equal_models_differ_by_nothing_as_often_as_p_says() -> None:
    generator = np.random.default_rng(4)
    found = []
    for seed in range(400):
        sums = simulated(generator, 50, 2, (0.4, 0.4))
        # two models, equally good on average: noise of the same size in the rates of both
        noisy = [sums[:, :4].copy(), sums[:, 4:].copy()]
        for part in noisy:
            noise = generator.normal(scale=0.05, size=part[:, 3].shape)
            part[:, 3] += noise * part[:, 1]
        _, together = bootstrap(np.concatenate(noisy, axis=1), difference, replicates=400, seed=seed)
        found.append(float(together.p_value()))
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09
    assert 0.4 <= np.mean(found) <= 0.6


@given(seed=st.integers(0, 10_000), null=st.booleans())
@settings(max_examples=30, deadline=None)
def test_gradients_are_those_of_finite_differences(seed: int, null: bool) -> None:
    generator = np.random.default_rng(seed)
    sums = simulated(generator, 8, 3).sum(0)
    rate = np.full(3, 0.1) if null else None
    _, gradient = with_gradient(sums, rate)
    for kind in range(4):
        step = np.zeros_like(sums)
        step[kind] = 1e-4 * np.abs(sums[kind])
        numeric = (bits_per_spike(sums + step, rate) - bits_per_spike(sums - step, rate)) / (2 * step[kind])
        assert np.allclose(gradient[kind], numeric, rtol=1e-4, atol=1e-7)
    # a figure of ratios does not change when all sums are multiplied
    assert np.allclose((gradient * sums).sum(0), 0.0, atol=1e-9)


def test_figures_are_those_of_all_trials_and_silent_units_have_none() -> None:
    sums = simulated(np.random.default_rng(5), 30, 4)
    sums[:, [1, 3], 2] = 0.0
    each, together = bootstrap(sums, with_gradient, replicates=100)
    expected = bits_per_spike(sums.sum(0))
    assert np.allclose(each.value, expected, rtol=1e-12, equal_nan=True)
    assert np.isnan(each.value[2])
    assert np.isnan(each.interval()[:, 2]).all()
    assert float(together.value) == pytest.approx(float(mean_known(expected)), abs=1e-15)
    again, _ = bootstrap(sums, with_gradient, replicates=100)
    assert np.array_equal(each.values, again.values, equal_nan=True)


def test_too_few_trials_have_no_interval_and_sessions_are_averaged() -> None:
    generator = np.random.default_rng(6)
    _, few = bootstrap(simulated(generator, FEWEST_TRIALS - 1, 2), with_gradient, replicates=50)
    assert np.isnan(few.interval()).all()
    parts = [bootstrap(simulated(generator, 40, 2), with_gradient, replicates=300, seed=s)[1] for s in range(4)]
    together = mean_of(parts)
    assert float(together.value) == pytest.approx(np.mean([part.value for part in parts]))
    width = float(np.diff(together.interval())[0])
    assert width == pytest.approx(np.mean([np.diff(part.interval())[0] for part in parts]) / 2, rel=0.35)
    assert np.isnan(mean_of([]).value)


def test_signed_ranks() -> None:
    assert signed_rank([0.1] * 10) < 0.01
    assert signed_rank([0.0, 0.0]) == 1.0
    assert np.isnan(signed_rank([float("nan")]))
