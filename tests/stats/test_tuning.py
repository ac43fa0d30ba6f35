"""Planted tuning curves are recovered, and standard errors are as large as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.stats.tuning import NO_FIT, circular_tuning, first_harmonic, fit_sine, peak_between

PHASES = (np.arange(8) + 0.5) * 2 * np.pi / 8


@given(st.floats(0.6, 8.4), st.floats(0.1, 5.0), st.floats(0.5, 3.0))
def test_the_vertex_of_a_parabola_is_found_between_samples(place, bend, step) -> None:
    places = np.arange(10) * step
    found, height = peak_between(places, 7.0 - bend * (places - place * step) ** 2)
    assert found == pytest.approx(place * step, abs=1e-9)
    assert height == pytest.approx(7.0, abs=1e-9)


def test_a_peak_at_the_end_is_the_end_and_nan_has_none() -> None:
    assert peak_between(np.arange(3.0), np.array([3.0, 1.0, 0.0])) == (0.0, 3.0)
    assert math.isnan(peak_between(np.arange(3.0), np.array([3.0, np.nan, 0.0]))[0])


@given(st.floats(0.0, 179.9), st.floats(0.05, 0.95), st.integers(4, 24), st.sampled_from([1, 2]))
def test_a_cosine_gives_back_its_angle_and_half_its_depth(degrees, depth, number, fold) -> None:
    """The mean of ``(1 + d cos fold(x - x0)) exp(i fold x)`` over a cycle is ``d / 2 exp(i fold x0)``."""
    angles = np.arange(number) * 2 * np.pi / fold / number
    responses = 3.0 * (1 + depth * np.cos(fold * (angles - np.radians(degrees))))
    preferred, selectivity = circular_tuning(angles, responses, fold=fold)
    assert selectivity == pytest.approx(depth / 2, abs=1e-9)
    assert np.cos(fold * (preferred - np.radians(degrees))) == pytest.approx(1.0, abs=1e-9)


def test_selectivity_runs_from_nothing_to_one_and_needs_a_response() -> None:
    angles = np.arange(6) * np.pi / 6
    one = np.zeros((3, 6))
    one[0, 4], one[1] = 2.0, 1.0
    preferred, selectivity = circular_tuning(angles, one)
    assert selectivity[0] == pytest.approx(1.0)
    assert preferred[0] == pytest.approx(angles[4])
    assert selectivity[1] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(selectivity[2])
    assert np.isnan(preferred[2])


def test_a_rectified_sine_has_the_textbook_ratio() -> None:
    """F1 / F0 of a half-wave rectified sine is pi / 2, of a sine on its own mean 1."""
    turn = np.arange(3600) * 2 * np.pi / 3600
    f0, f1 = first_harmonic(np.stack([np.maximum(np.sin(turn), 0.0), 1.0 + np.sin(turn + 0.7)]))
    assert f1[0] / f0[0] == pytest.approx(np.pi / 2, abs=1e-5)
    assert f1[1] / f0[1] == pytest.approx(1.0, abs=1e-9)


@given(st.floats(0.01, 5.0), st.floats(-3.1, 3.1), st.floats(0.0, 5.0))
def test_a_sine_is_fitted_exactly(amplitude, shift, more) -> None:
    offset = amplitude + more
    mean = amplitude * np.sin(PHASES + shift) + offset
    fit = fit_sine(np.sin(PHASES), np.cos(PHASES), mean, np.zeros(8))
    assert (fit.amplitude, fit.offset) == pytest.approx((amplitude, offset), abs=1e-9)
    assert np.cos(fit.shift - shift) == pytest.approx(1.0, abs=1e-12)
    assert fit.modulation == pytest.approx(2 * amplitude / (amplitude + offset), abs=1e-9)
    assert fit.amplitude_se == fit.shift_se == fit.offset_se == 0.0


def test_wide_bins_do_not_flatten_the_fit() -> None:
    phase = np.linspace(0, 2 * np.pi, 8000, endpoint=False).reshape(8, -1)
    mean = (2.0 * np.sin(phase + 0.4) + 3.0).mean(1)
    fit = fit_sine(np.sin(phase).mean(1), np.cos(phase).mean(1), mean, np.ones(8))
    assert fit.amplitude == pytest.approx(2.0, abs=1e-9)


def test_errors_of_poisson_counts_cover_as_they_say() -> None:
    """Intervals of 1.96 standard errors hold the truth in 95 % of 2,000 simulations, to 3.5 errors of that share."""
    rng = np.random.default_rng(3)
    amplitude, shift, offset, frames = 0.25, 0.9, 0.4, 400
    rate = amplitude * np.sin(PHASES + shift) + offset
    held = np.zeros(3)
    for _ in range(2000):
        mean = rng.poisson(rate * frames) / frames
        fit = fit_sine(np.sin(PHASES), np.cos(PHASES), mean, mean / frames)
        off = abs(np.array([fit.amplitude - amplitude, fit.shift - shift, fit.offset - offset]))
        held += off <= 1.96 * np.array([fit.amplitude_se, fit.shift_se, fit.offset_se])
    assert np.abs(held / 2000 - 0.95).max() < 3.5 * math.sqrt(0.95 * 0.05 / 2000)


def test_too_few_bins_are_no_fit() -> None:
    assert fit_sine(np.sin(PHASES[:2]), np.cos(PHASES[:2]), np.ones(2), np.ones(2)) is NO_FIT
    same = np.full(8, 0.5)
    assert fit_sine(same, same, np.ones(8), np.ones(8)) is NO_FIT
