"""How many steps fit into a given time: the arithmetic, and a run that is given one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_sessions import settings

from vctrain.config.resolve import read_provenance, read_settings
from vctrain.errors import UsageError
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training import budget, fit, loaders, resuming
from vctrain.training.prepare import prepare


@given(
    seconds=st.floats(10.0, 1e5),
    step=st.floats(0.01, 2.0),
    validation=st.floats(0.1, 100.0),
    per_epoch=st.integers(1, 2000),
)
def test_the_schedule_fills_the_time_and_never_exceeds_it(
    seconds: float, step: float, validation: float, per_epoch: int
) -> None:
    epochs, steps = budget.epochs_and_steps(seconds, step, validation, per_epoch)
    taken = epochs * (steps * step + validation)
    assert epochs >= 1
    if steps >= 1:
        assert taken <= seconds
        # what one more step an epoch would take is all that is left over
        assert taken + epochs * step >= 0.97 * seconds * (1 - 1e-9)


def test_a_run_is_fitted_once_and_keeps_the_numbers(tiny_data: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_data, {"trainer.max_minutes": 0.1, "trainer.max_epochs": 1000})
    result = fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    kept = read_settings(tmp_path / "run" / "config.yaml").trainer
    assert 1 <= kept.max_epochs < 1000
    assert result["steps"] == kept.max_epochs * kept.steps_per_epoch
    assert kept.measured_step_seconds is not None
    assert read_provenance(tmp_path / "run" / "config.yaml")["trainer.max_epochs"] == budget.SOURCE
    stored = read_checkpoint(tmp_path / "run").settings.trainer
    assert (stored.max_epochs, stored.steps_per_epoch) == (kept.max_epochs, kept.steps_per_epoch)
    # The same command goes on with what was measured the first time; trained again from its config it takes as many.
    assert resuming.changes(read_settings(tmp_path / "run" / "config.yaml"), fit.with_absolute_paths(chosen), {}) == []
    again = read_settings(tmp_path / "run" / "config.yaml")
    assert budget.fitted(again, prepare(again, 1)) is again


def test_measuring_leaves_twin_and_random_numbers_alone(tiny_data: Path) -> None:
    chosen = settings(tiny_data)
    prepared = prepare(chosen, 1)
    before = {name: value.clone() for name, value in prepared.twin.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    step, validation = budget.measure(chosen, prepared)
    assert 0 < step < 10
    assert 0 < validation < 60
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in prepared.twin.state_dict().items())


def test_no_time_for_a_validation_is_an_error(tiny_data: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_data, {"trainer.max_minutes": 1e-5})
    with pytest.raises(UsageError, match="max_minutes"):
        fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert not (tmp_path / "run").exists()


def test_a_validation_is_what_its_frames_take(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of sessions differ in length; whichever are timed, the whole is in proportion to frames."""
    chosen = settings(tiny_data)
    prepared = prepare(chosen, 1)
    plain = loaders.validation_loader(prepared.sessions, "val", prepared.twin, 0, 1)
    read = [plain.context + plain.frames_of(group) for group in range(plain.n_groups)]
    clock = {"now": 0.0}
    original = budget._Timer.on_validation_batch_end

    def timed(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, *rest: Any) -> None:
        clock["now"] += 0.01 * read[batch.step]
        original(self, trainer, module, outputs, batch, *rest)

    monkeypatch.setattr(budget._Timer, "on_validation_batch_end", timed)
    monkeypatch.setattr(budget.time, "perf_counter", lambda: clock["now"])
    _, validation = budget.measure(chosen, prepared)
    assert validation == pytest.approx(0.01 * sum(read))
