"""Bits per spike from sums: equal to the definition, however the frames are split."""

from __future__ import annotations

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from vctrain.metrics.bps import PoissonSums, mean_over_units, overall


def direct(rate: np.ndarray, robs: np.ndarray, valid: np.ndarray) -> float:
    """Bits per spike of one unit, term by term from the Poisson log-likelihoods of its valid frames."""
    r, p = robs[valid].astype(np.float64), np.maximum(rate[valid].astype(np.float64), 1e-8)
    if r.sum() == 0:
        return math.nan
    null = np.full_like(r, r.mean())
    log_factorial = np.array([math.lgamma(k + 1) for k in r])
    model = r * np.log(p) - rate[valid] - log_factorial
    mean = r * np.log(null) - null - log_factorial
    return float((model - mean).sum() / r.sum() / math.log(2))


def made(seed: int, frames: int = 200, units: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(frames, units, generator=generator) * 0.8
    robs = torch.poisson(torch.rand(frames, units, generator=generator) * 0.6, generator=generator)
    dfs = (torch.rand(frames, units, generator=generator) > 0.3).float()
    return rate, robs, dfs


@pytest.mark.parametrize("columns", [1, 4])
def test_equals_the_definition(columns: int) -> None:
    rate, robs, dfs = made(0)
    rate[:5, 1] = 0.0
    dfs = dfs[:, :columns]
    got = PoissonSums.of(rate, robs, dfs).bits_per_spike()
    mask = dfs.expand_as(robs).numpy() > 0
    expected = [direct(rate[:, u].numpy(), robs[:, u].numpy(), mask[:, u]) for u in range(4)]
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx(expected, abs=1e-9)


def test_leading_axes_do_not_matter() -> None:
    rate, robs, dfs = made(1)
    flat = PoissonSums.of(rate, robs, dfs).stacked()
    clips = PoissonSums.of(rate.view(10, 20, 4), robs.view(10, 20, 4), dfs.view(10, 20, 4)).stacked()
    assert torch.allclose(flat, clips, rtol=1e-14)


def test_a_unit_without_a_spike_has_no_value_and_does_not_count() -> None:
    rate, robs, dfs = made(2)
    robs[:, 2] = 0
    robs[:, 3] *= 1 - dfs[:, 3]
    bps = PoissonSums.of(rate, robs, dfs).bits_per_spike()
    assert bps.isnan().tolist() == [False, False, True, True]
    assert mean_over_units(bps) == pytest.approx(float(bps[:2].mean()))
    assert mean_over_units(bps[2:]) is None
    assert overall([None, 0.25, mean_over_units(bps[2:])]) == 0.25
    assert overall([None]) is None


def test_what_is_masked_does_not_matter_whatever_it_holds() -> None:
    rate, robs, dfs = made(3)
    clean = PoissonSums.of(rate, robs, dfs).stacked()
    hidden = dfs == 0
    for poison in (math.nan, math.inf, -1.0):
        dirty = PoissonSums.of(rate.masked_fill(hidden, poison), robs.masked_fill(hidden, poison), dfs).stacked()
        assert torch.equal(dirty, clean)


def test_a_bad_model_is_negative_and_a_silent_one_finite() -> None:
    robs = torch.poisson(torch.full((300, 1), 0.5), generator=torch.Generator().manual_seed(0))
    ones = torch.ones(300, 1)
    assert PoissonSums.of(ones * 5, robs, ones).bits_per_spike().item() < -1
    assert math.isfinite(PoissonSums.of(ones * 0, robs, ones).bits_per_spike().item())
    assert overall([-1.0, 0.5]) == -0.25


def test_the_mean_rate_scores_nothing() -> None:
    _, robs, dfs = made(4)
    mean = (robs.double() * dfs).sum(0) / dfs.sum(0)
    bps = PoissonSums.of(mean.expand_as(robs), robs, dfs).bits_per_spike()
    assert bps.abs().max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), cuts=st.lists(st.integers(0, 120), max_size=5), columns=st.sampled_from([1, 3]))
def test_merged_sums_are_the_sums_of_all_frames(seed: int, cuts: list[int], columns: int) -> None:
    rate, robs, dfs = made(seed, frames=120, units=3)
    dfs = dfs[:, :columns]
    edges = [0, *sorted(cuts), 120]
    merged = PoissonSums.zeros(3)
    for start, stop in itertools.pairwise(edges):
        merged = merged + PoissonSums.of(rate[start:stop], robs[start:stop], dfs[start:stop])
    whole = PoissonSums.of(rate, robs, dfs)
    assert torch.equal(merged.frames, whole.frames)
    assert torch.equal(merged.spikes, whole.spikes)
    assert torch.allclose(merged.stacked(), whole.stacked(), rtol=1e-12, atol=0)
    assert torch.equal(PoissonSums.from_stacked(merged.stacked()).bits_per_spike(), merged.bits_per_spike())
