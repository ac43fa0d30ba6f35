"""The learning rate at every step."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from vctrain.config.schema import OptimConfig
from vctrain.training.schedules import Plateau, lr_factor

SHARED = Path(__file__).resolve().parents[3] / "shared"


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


def test_steps_and_restarts_count_epochs() -> None:
    step = OptimConfig(schedule="step", warmup_steps=0, decay_epochs=3, decay_factor=0.1)
    assert [lr_factor(s, 100, step, 10) for s in (0, 29, 30, 59, 60)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    restart = OptimConfig(schedule="cosine_warmup_restart", warmup_steps=4, restart_epochs=2)
    factors = [lr_factor(s, 100, restart, 10) for s in range(100)]
    assert [s for s, f in enumerate(factors) if f == 1.0] == [4, 24, 44, 64, 84]
    assert factors[23] < 0.01
    halves = OptimConfig(schedule="cosine_warmup_restart", warmup_steps=20)
    assert [s for s in range(100) if lr_factor(s, 100, halves) == 1.0] == [20, 60]


def test_a_plateau_is_waited_for() -> None:
    plateau = Plateau(OptimConfig(schedule="plateau", plateau_patience=2, decay_factor=0.5))
    factors = []
    for score in (0.1, 0.2, 0.2, 0.1, 0.15, 0.1, 0.3, 0.3, 0.2, 0.1):
        plateau.see(score)
        factors.append(plateau.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]
    again = Plateau(plateau.config)
    again.restore(plateau.state())
    assert again.state() == plateau.state()
    flat = Plateau(OptimConfig(schedule="cosine"))
    for _ in range(9):
        flat.see(0.0)
    assert flat.factor == 1.0


def test_a25_no_epoch_at_zero_and_otherwise_the_schedules_of_the_earlier_system() -> None:
    reference = SHARED / "fixtures" / "legacy" / "schedules_reference.json"
    if not reference.is_file():
        pytest.skip(f"no reference data at {reference}")
    expected = json.loads(reference.read_text())["lr_per_epoch_base_1e3"]
    per_epoch = 8
    for name, changes in (
        ("cosine_max20", {"schedule": "cosine", "warmup_steps": 0}),
        ("step", {"schedule": "step", "warmup_steps": 0}),
        ("cosine_warmup_w5_max20", {"schedule": "cosine_warmup", "warmup_steps": 5 * per_epoch}),
    ):
        config = OptimConfig(lr=1e-3, **changes)
        found = [1e-3 * lr_factor(e * per_epoch, 20 * per_epoch, config, per_epoch) for e in range(20)]
        first = config.warmup_steps // per_epoch
        assert found[first:] == pytest.approx(expected[name][first:]), name
        assert all(value > 0 for value in found)
        if first:
            assert expected[name][0] == 0.0, "defect A25"
