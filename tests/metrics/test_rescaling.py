"""Gain and offset are those of greatest likelihood: found elsewhere too, recovered where planted, within bounds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vctrain.metrics.rescaling import Block, fit_affine

FRAMES = 4000


def blocks_of(rates: np.ndarray, counts: np.ndarray, valid: np.ndarray) -> Iterator[Block]:
    for start in range(0, len(rates), 1000):
        part = slice(start, start + 1000)
        yield rates[part], counts[part], valid[part]


def likelihood(at: np.ndarray, rates: np.ndarray, counts: np.ndarray) -> float:
    mu = np.maximum(at[0] * rates + at[1], 1e-8)
    return float((counts * np.log(mu) - mu).sum())


@settings(max_examples=25)
@given(
    gain=st.floats(0, 4),
    offset=st.floats(0, 0.5),
    spread=st.sampled_from([0.3, 1.0, 5.0]),
    kept=st.floats(0.3, 1.0),
    seed=st.integers(0, 2**16),
)
def test_no_other_gain_and_offset_are_more_likely(
    gain: float, offset: float, spread: float, kept: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    rates = draw.gamma(spread, 0.2 / spread, (FRAMES, 1)).astype(np.float32)
    counts = draw.poisson(gain * rates + offset)
    valid = draw.random((FRAMES, 1)) < kept
    # what does not count may be anything
    rates[~valid] = np.nan
    found = fit_affine(lambda: blocks_of(rates, counts, valid))
    seen, spikes = rates[valid].astype(float), counts[valid]
    if spikes.sum() == 0:
        assert (found.gain.item(), found.offset.item()) == (1, 0)
        return
    assert min(found.gain.item(), found.offset.item()) >= 0
    ours = likelihood(np.array([found.gain.item(), found.offset.item()]), seen, spikes)
    theirs = minimize(lambda at: -likelihood(at, seen, spikes), [1.0, 0.1], bounds=[(0, None)] * 2, method="L-BFGS-B")
    assert ours >= -theirs.fun - 1e-7 * spikes.sum()


def test_a_single_spike_goes_to_what_explains_it_best() -> None:
    """The curvature is of rank one: between gain and offset lies a straight valley, which ends at a bound."""
    rates = np.linspace(0.1, 0.3, 1000)[:, None]
    counts = np.zeros((1000, 1))
    for place, expected in ((900, (1 / rates.sum(), 0.0)), (100, (0.0, 1e-3))):
        counts[:] = 0
        counts[place] = 1
        found = fit_affine(lambda: [(rates, counts, np.ones_like(rates, bool))])
        assert (found.gain.item(), found.offset.item()) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_planted_gains_are_recovered() -> None:
    draw = np.random.default_rng(1)
    gain, offset = np.array([0.5, 1.0, 2.0, 1.0]), np.array([0.0, 0.0, 0.1, 0.3])
    rates = draw.gamma(1.0, 0.3, (200_000, 4))
    counts = draw.poisson(gain * rates + offset)
    found = fit_affine(lambda: [(rates, counts, np.ones_like(rates, bool))])
    assert found.gain == pytest.approx(gain, abs=0.03)
    assert found.offset == pytest.approx(offset, abs=0.01)


def test_silent_and_constant_units_are_left_sensible() -> None:
    rates = np.full((500, 2), 0.2)
    counts = np.zeros((500, 2))
    counts[::5, 1] = 2
    found = fit_affine(lambda: [(rates, counts, np.ones_like(rates, bool))])
    assert (found.gain[0], found.offset[0]) == (1, 0)
    assert found.gain[1] * 0.2 + found.offset[1] == pytest.approx(counts[:, 1].mean(), rel=1e-6)
