"""16-mixed with a gradient scaler, on a CPU: steps are really taken, and one that overflows is only put off.

The command refuses half precision on CPUs, where it helps nobody; torch can compute it there all the same.
"""

from __future__ import annotations

import itertools

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from training.test_module import Batches, batch, fit, new_module

from vctrain.training.module import TwinModule

SCALE = 2.0**10


def train_in_half(module: TwinModule, steps: int, scale: float) -> tuple[list[dict[str, torch.Tensor]], MixedPrecision]:
    """The weights before the first and after each step, and what scaled the gradients."""
    weights = [{name: value.clone() for name, value in module.named_parameters()}]

    class After(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            weights.append({name: value.detach().clone() for name, value in module.named_parameters()})

    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, plugins=[plugin], callbacks=[After()], max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=Batches([batch(step) for step in range(steps)]))
    return weights, plugin


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(before[name], after[name]) for name in before)


def test_a11_half_precision_takes_every_step_and_ends_near_full_precision() -> None:
    torch.manual_seed(0)
    half = new_module()
    full = new_module()
    full.load_state_dict(half.state_dict())
    weights, _ = train_in_half(half, 4, SCALE)
    assert all(moved(one, other) for one, other in itertools.pairwise(weights))
    fit(full, [batch(step) for step in range(4)], gradient_clip_val=1.0)
    # Adam turns rounding of small gradients into whole steps, so it is their bulk that has to agree.
    apart = sum(float((v.detach() - weights[-1][name]).square().sum()) for name, v in full.named_parameters())
    went = sum(float((v.detach() - weights[0][name]).square().sum()) for name, v in full.named_parameters())
    assert 0 < apart < 0.25 * went


def test_a12_a_step_that_overflows_is_put_off_without_decay_or_proximal_step() -> None:
    clamp = {"name": "far", "type": "proximal_clamp_min", "apply_to": ["readouts/std"], "strength": 3.0}
    module = new_module([clamp], max_skipped_steps=0)
    weights, plugin = train_in_half(module, 6, 2.0**40)
    taken = [moved(one, other) for one, other in itertools.pairwise(weights)]
    # too large a scale: the first steps overflow, and none of them is counted as a step that is not finite
    assert not taken[0]
    assert module.skipping.in_a_row == 0
    assert plugin.scaler is not None
    assert plugin.scaler.get_scale() < 2.0**40
    untouched = next(index for index, step in enumerate([*taken, True]) if step)
    assert all(float(w["twin.readouts.0.std"].detach().min()) < 3.0 for w in weights[: untouched + 1])


def test_a_proximal_step_follows_every_step_that_was_taken() -> None:
    clamp = {"name": "far", "type": "proximal_clamp_min", "apply_to": ["readouts/std"], "strength": 3.0}
    weights, _ = train_in_half(new_module([clamp]), 2, SCALE)
    assert float(weights[1]["twin.readouts.0.std"].min()) == 3.0
