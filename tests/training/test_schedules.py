"""The learning rate at every step."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given

from vctrain.config.schema import OptimConfig
from vctrain.training.schedules import lr_factor


@given(
    total=st.integers(1, 5000),
    warmup=st.integers(0, 300),
    final=st.floats(0, 1),
    schedule=st.sampled_from(["none", "cosine"]),
)
def test_it_rises_then_falls_within_its_bounds(total: int, warmup: int, final: float, schedule: str) -> None:
    config = OptimConfig(schedule=schedule, warmup_steps=warmup, final_lr_fraction=final)
    steps = range(0, total, max(1, total // 200))
    factors = [lr_factor(step, total, config) for step in steps]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)
    rising = [f for s, f in zip(steps, factors, strict=True) if s < warmup]
    assert all(a < b for a, b in itertools.pairwise(rising))
    assert all(factor > 0 for factor in rising)
    after = [f for s, f in zip(steps, factors, strict=True) if s >= warmup]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(after))
    assert all(f >= final - 1e-12 for f in after)
    if schedule == "none":
        assert set(after) <= {1.0}


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_warm_up_counts_steps_and_the_cosine_ends_one_step_after_the_last(final: float) -> None:
    config = OptimConfig(schedule="cosine", warmup_steps=10, final_lr_fraction=final)
    assert [lr_factor(s, 110, config) for s in range(11)] == pytest.approx([(s + 1) / 11 for s in range(11)])
    assert lr_factor(60, 110, config) == pytest.approx((1 + final) / 2)
    assert lr_factor(110, 110, config) == pytest.approx(final)
    assert lr_factor(109, 110, config) > final
    assert lr_factor(500, 110, config) == pytest.approx(final)
