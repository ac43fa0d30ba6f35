"""What a step changes, and when training refuses to go on; driven by a Lightning trainer on hand-made batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from models.made_twins import clips, config, twin

from vctrain.config.schema import OptimConfig
from vctrain.data.clips import ClipBatch
from vctrain.errors import NumericsError
from vctrain.metrics.bps import PoissonSums
from vctrain.models.twin import context_of
from vctrain.training import module as module_file
from vctrain.training.engine import build_trainer
from vctrain.training.module import TwinModule, ValidationResult

MODEL = config()
CONTEXT = context_of(MODEL)


def batch(step: int, silent: Sequence[int] = ()) -> ClipBatch:
    """Two clips of each of two sessions; those in ``silent`` have no valid entry."""
    parts = [clips(i, 2, CONTEXT + 5, 5, n) for i, n in enumerate((3, 2))]
    parts = [replace(p, dfs=torch.zeros_like(p.dfs)) if p.session in silent else p for p in parts]
    counts = torch.tensor([float(p.dfs.expand_as(p.robs).sum()) for p in parts], dtype=torch.float64)
    return ClipBatch(step, tuple(parts), counts)


class Batches:
    """A loader of batches that are there."""

    def __init__(self, batches: Sequence[ClipBatch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[ClipBatch]:
        return iter(self.batches)


def fit(module: TwinModule, batches: Sequence[ClipBatch], after: Any = None, **options: Any) -> None:
    """Drive ``module`` through ``batches``; ``after(step)`` is called after each."""
    import lightning.pytorch as pl

    class After(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if after is not None:
                after(batch_idx)

    trainer = build_trainer(
        accelerator="cpu", devices=1, callbacks=[After()], max_epochs=1, enable_checkpointing=False, **options
    )
    trainer.fit(module, train_dataloaders=Batches(batches))


def new_module(**optim: Any) -> TwinModule:
    chosen = OptimConfig(**{"lr": 0.01, "schedule": "none", "warmup_steps": 0, "weight_decay": 0.1, **optim})
    return TwinModule(twin(MODEL), chosen, 10, {})


def owned(module: TwinModule, session: int) -> dict[str, torch.Tensor]:
    """Weights and optimizer moments of what ``session`` owns."""
    state = module.optimizers(use_pl_optimizer=False).state  # type: ignore[union-attr]
    found = {}
    for name, parameter in module.twin.named_parameters():
        if name.startswith((f"adapters.{session}.", f"readouts.{session}.")):
            found[name] = parameter.detach().clone()
            for key, value in state.get(parameter, {}).items():
                found[f"{name} {key}"] = torch.as_tensor(value).clone()
    return found


def test_a_session_without_valid_entries_is_not_touched_by_the_step() -> None:
    """Weights, moments and step counts stay as they are; decay alone would move the weights."""
    module = new_module()
    seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
    fit(
        module,
        [batch(0), batch(1, silent=[1]), batch(2)],
        after=lambda step: seen.append((owned(module, 0), owned(module, 1))),
        gradient_clip_val=1.0,
    )
    assert any("exp_avg" in name for name in seen[0][1])
    assert all(torch.equal(seen[1][1][name], value) for name, value in seen[0][1].items())
    assert not torch.equal(seen[1][0]["readouts.0.features"], seen[0][0]["readouts.0.features"])
    assert not torch.equal(seen[2][1]["readouts.1.features"], seen[1][1]["readouts.1.features"])


def test_c03_a_step_without_any_valid_entry_changes_nothing() -> None:
    module = new_module()
    weights: list[dict[str, torch.Tensor]] = []
    fit(
        module,
        [batch(0), batch(1, silent=[0, 1])],
        after=lambda step: weights.append({k: v.clone() for k, v in module.twin.state_dict().items()}),
    )
    changed = [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])]
    assert changed == []


def test_a_loss_that_is_not_finite_ends_training_and_names_step_and_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_file, "CHECK_EVERY", 1)
    bad = batch(2)
    broken = replace(bad.parts[1], robs=torch.full_like(bad.parts[1].robs, math.nan))
    module = new_module()
    with pytest.raises(NumericsError, match=r"step 2\b.*S1_2024-01-01") as caught:
        fit(module, [batch(0), batch(1), ClipBatch(2, (bad.parts[0], broken), bad.counts), batch(3)])
    assert caught.value.code == 4
    assert caught.value.hint
    assert all(bool(p.isfinite().all()) for p in module.twin.parameters())


@pytest.mark.parametrize("units", [slice(0, 3), slice(1, 2)])
def test_a_validation_that_is_not_finite_is_refused(units: slice) -> None:
    """Not taken for a unit without spikes, which would leave the mean and improve it."""
    module = new_module()
    with torch.no_grad():
        module.twin.readouts[0].features[units] = math.nan  # type: ignore[union-attr, index, operator]
    trainer = build_trainer(accelerator="cpu", devices=1, enable_checkpointing=False)
    with pytest.raises(NumericsError, match=r"S0_2024-01-01|val_bps_overall"):
        trainer.validate(module, dataloaders=Batches([batch(0)]), verbose=False)


def sums(seed: int, units: int, scale: float = 1.0) -> PoissonSums:
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(100, units, generator=generator) + 0.1
    return PoissonSums.of(rate * scale, torch.poisson(rate, generator=generator), torch.ones(100, 1))


def test_the_overall_figure_is_the_mean_over_sessions_of_means_over_units() -> None:
    result = ValidationResult(("a", "b"), [sums(0, 5), sums(1, 2)], [None, None])
    a, b = (float(bps.mean()) for bps in result.bps)
    assert result.bps_overall == pytest.approx((a + b) / 2)
    assert result.by_session == pytest.approx({"a": a, "b": b})
    assert result.oracle_overall is None
    assert result.fraction_of_oracle is None


def test_the_fraction_of_the_oracle_compares_the_same_sessions() -> None:
    known, unknown = sums(0, 3, scale=1.3), sums(1, 2)
    oracle = sums(0, 3)
    result = ValidationResult(("a", "b"), [known, unknown], [oracle, None])
    expected = float(known.bits_per_spike().mean() / oracle.bits_per_spike().mean())
    assert result.oracle_overall == pytest.approx(float(oracle.bits_per_spike().mean()))
    assert result.fraction_of_oracle == pytest.approx(expected)
