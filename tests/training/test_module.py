"""What a step changes, and when training refuses to go on; driven by a Lightning trainer on hand-made batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models.made_twins import clips, config, twin

from vctrain.config.schema import Settings
from vctrain.data.clips import ClipBatch
from vctrain.errors import NumericsError
from vctrain.metrics.bps import PoissonSums
from vctrain.models.twin import context_of
from vctrain.training import module as module_file
from vctrain.training.callbacks.boundaries import Boundaries
from vctrain.training.callbacks.checkpoints import Checkpoints
from vctrain.training.engine import build_trainer
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.module import TwinModule
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.validation import ValidationResult

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


def fit(
    module: TwinModule, batches: Sequence[ClipBatch], after: Any = None, callbacks: Sequence[Any] = (), **options: Any
) -> None:
    """Drive ``module`` through ``batches``; ``after(step)`` is called after each."""
    import lightning.pytorch as pl

    class After(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if after is not None:
                after(batch_idx)

    trainer = build_trainer(
        accelerator="cpu", devices=1, callbacks=[After(), *callbacks], max_epochs=1,
        enable_checkpointing=bool(callbacks), **options,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=Batches(batches))


def new_module(regularization: Sequence[dict[str, Any]] = (), max_skipped_steps: int = 10, **optim: Any) -> TwinModule:
    chosen = {
        "optim": {"lr": 0.01, "schedule": "none", "warmup_steps": 0, "weight_decay": 0.1, **optim},
        "trainer": {"max_epochs": 2, "steps_per_epoch": 5, "max_skipped_steps": max_skipped_steps},
        "regularization": list(regularization),
    }
    return TwinModule(twin(MODEL), Settings.model_validate(chosen), {})


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


def poisoned(step: int) -> ClipBatch:
    """A batch in which the second unit of the second session has a count that is no number."""
    good = batch(step)
    robs = good.parts[1].robs.clone()
    robs[..., 1] = math.nan
    return ClipBatch(step, (good.parts[0], replace(good.parts[1], robs=robs)), good.counts)


def test_c01_a_step_that_is_not_finite_is_skipped_named_and_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    module, plain = new_module(max_skipped_steps=2), new_module()
    plain.load_state_dict(module.state_dict())
    fit(module, [batch(0), poisoned(1), poisoned(2), batch(3)])
    fit(plain, [batch(0), batch(3)])
    said = capsys.readouterr().err
    assert "step 1: the loss is not finite (session S1_2024-01-01: cids 1); skipped, 1 in a row of at most 2" in said
    for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert module.take_means()["train_loss"] == pytest.approx(plain.take_means()["train_loss"])


def test_too_many_skipped_steps_end_training_with_the_state_saved(tmp_path: Path) -> None:
    module = new_module(max_skipped_steps=1)
    (tmp_path / "checkpoints").mkdir()
    checkpoints = Checkpoints(tmp_path, 1, rank=0)
    boundaries = Boundaries(tmp_path, module.settings, checkpoints, None)
    with pytest.raises(NumericsError, match=r"step 4\b.*session S1_2024-01-01: cids 1.*2 steps in a row") as caught:
        fit(
            module,
            [batch(0), poisoned(1), batch(2), *map(poisoned, (3, 4, 5))],
            callbacks=[boundaries, checkpoints],
            default_root_dir=str(tmp_path),
        )
    boundaries.close()
    assert caught.value.code == 4
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert str(tmp_path / "checkpoints" / "last.ckpt") in caught.value.hint
    assert all(bool(value.isfinite().all()) for value in kept["state_dict"].values())
    # the step that could not be taken is behind it, and nothing of it is counted twice by a run that goes on
    assert kept["vctrain"]["progress"]["step"] == kept["global_step"] == 5
    assert kept["vctrain"]["progress"]["skipped_in_a_row"] == 2


def test_accumulated_batches_make_one_step_of_their_mean_gradient() -> None:
    one, two = new_module(grad_clip=0), new_module(grad_clip=0)
    two.load_state_dict(one.state_dict())
    fit(two, [batch(0), batch(1)], accumulate_grad_batches=2)
    one.zero_grad()
    shares = []
    for step in (0, 1):
        data = batch(step)
        losses = session_losses(one.twin(data.parts), data)
        shares.append(step_loss(losses, data, 1) / 2)
    torch.stack(shares).sum().backward()
    build_optimizer(parameter_groups(one.twin, one.settings.optim), one.settings.optim).step()
    for ours, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)


def test_a_session_that_is_absent_from_one_accumulated_batch_is_updated_by_the_other() -> None:
    module = new_module()
    before = module.twin.readouts[1].features.detach().clone()
    fit(module, [batch(0), batch(1, silent=(1,))], accumulate_grad_batches=2)
    assert not torch.equal(module.twin.readouts[1].features, before)


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


CLAMP = {"name": "std", "type": "proximal_clamp_positive", "strength": 0.4, "apply_to": ["readouts/std"]}
L1 = {"name": "sparse", "type": "proximal_l1", "strength": 0.3, "apply_to": ["features"]}


def test_a12_prox_once_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core and head are two groups of the optimizer; a matched parameter is shrunk once, with its own step."""
    calls: list[int] = []
    original = module_file.proximal_step
    monkeypatch.setattr(module_file, "proximal_step", lambda m, e, o: (calls.append(e), original(m, e, o)))
    module = new_module([{**L1, "strength": 1.0}], core_lr_scale=0.1, weight_decay=0.0, lr=1e-3)
    before = {name: p.detach().clone() for name, p in module.twin.named_parameters()}
    plain = new_module(core_lr_scale=0.1, weight_decay=0.0, lr=1e-3)
    plain.load_state_dict(module.state_dict())
    fit(module, [batch(0)])
    assert calls == [0]
    fit(plain, [batch(0)])
    optimizer = module.optimizers(use_pl_optimizer=False)
    for session in (0, 1):
        ours, theirs = module.twin.readouts[session].features, plain.twin.readouts[session].features
        second = optimizer.state[ours]["exp_avg_sq"] / (1 - 0.999)  # type: ignore[union-attr]
        step = torch.where(second > 0, 1e-3 / (second.sqrt() + 1e-8), 0.0)
        expected = theirs.sign() * (theirs.abs() - step).clamp_min(0)
        assert torch.allclose(ours, expected, atol=1e-7)
        assert not torch.equal(ours, theirs)
    ours, theirs = dict(module.twin.named_parameters()), dict(plain.twin.named_parameters())
    others = [name for name in before if "features" not in name]
    assert all(torch.equal(ours[name], theirs[name]) for name in others)
    assert any(not torch.equal(ours[name], before[name]) for name in others)


def test_prox_leaves_an_absent_session_alone() -> None:
    module = new_module([CLAMP, L1])
    before = module.twin.readouts[1].std.detach().clone()
    features = module.twin.readouts[1].features.detach().clone()
    fit(module, [batch(0, silent=(1,))])
    assert torch.equal(module.twin.readouts[1].std, before)
    assert torch.equal(module.twin.readouts[1].features, features)
    assert float(module.twin.readouts[0].std.max()) == pytest.approx(0.4)
    fit(module, [batch(1)])
    assert float(module.twin.readouts[1].std.max()) == pytest.approx(0.4)


def test_penalties_are_in_the_loss_and_told_apart_from_it() -> None:
    penalty = {"name": "l2", "type": "l2", "strength": 3.0, "apply_to": ["features"]}
    module = new_module([penalty], lr=1e-9, weight_decay=0.0)
    size = sum(float(r.features.square().sum()) for r in module.twin.readouts)
    fit(module, [batch(0), batch(1)])
    means = module.take_means()
    assert means["penalty/l2"] == pytest.approx(3 * size, rel=1e-4)
    plain = new_module(lr=1e-9, weight_decay=0.0)
    fit(plain, [batch(0), batch(1)])
    assert means["train_loss"] == pytest.approx(plain.take_means()["train_loss"], rel=1e-5)
    groups = {id(p): g for g in module.optimizers(use_pl_optimizer=False).param_groups for p in g["params"]}  # type: ignore[union-attr]
    assert all(groups[id(r.features)]["weight_decay"] == 0 for r in module.twin.readouts)


def test_schedules_of_regularizers_follow_the_epochs_of_optimizer_steps() -> None:
    late = {**CLAMP, "schedule": {"kind": "linear_decay", "start_epoch": 0, "end_epoch": 1, "start_strength": 5.0}}
    module = new_module([late], lr=1e-9)
    with torch.no_grad():
        for readout in module.twin.readouts:
            readout.std.fill_(1.0)
    widest: list[float] = []
    fit(module, [batch(i) for i in range(7)], after=lambda i: widest.append(float(module.twin.readouts[0].std.max())))
    assert widest[:5] == pytest.approx([1.0] * 5)
    assert widest[5:] == pytest.approx([0.4] * 2)


def test_batches_go_to_a_gpu_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning itself moves what is not a tensor with copies that wait, one for each tensor of each session."""
    waits: list[tuple[str, bool]] = []

    def to(moved: ClipBatch, device: torch.device, non_blocking: bool = False) -> ClipBatch:
        waits.append((device.type, not non_blocking))
        return moved

    monkeypatch.setattr(ClipBatch, "to", to)
    module = new_module()
    for kind in ("cuda", "cpu"):
        module.transfer_batch_to_device(batch(0), torch.device(kind), 0)
    assert waits == [("cuda", False), ("cpu", True)]
