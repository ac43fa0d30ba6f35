"""Defects of the legacy training, by their numbers in the list of known defects, do not come back."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
import yaml
from hypothesis import given
from made_sessions import settings
from models.made_twins import clips, config, twin

from vctrain.config.schema import OptimConfig
from vctrain.data.clips import ClipBatch
from vctrain.evaluation.evaluate import evaluate
from vctrain.metrics.bps import PoissonSums, mean_over_units, overall
from vctrain.models.twin import context_of
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training import fit
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.prepare import prepare
from vctrain.training.schedules import lr_factor


def test_a02_core_lr_scale_reaches_the_optimizer_and_what_is_saved(tiny_data, tmp_path) -> None:
    changes = {"optim.core_lr_scale": 0.25, "optim.warmup_steps": 0}
    changes |= {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 1}
    fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    raw = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    rates = {group["initial_lr"] for group in raw["optimizer_states"][0]["param_groups"]}
    assert sorted(rates) == pytest.approx([0.75e-3, 3e-3])


def test_a03_positions_widths_biases_gains_and_alignments_are_not_decayed() -> None:
    net = twin(config())
    optim = OptimConfig(weight_decay=0.5)
    optimizer = build_optimizer(parameter_groups(net, optim), optim)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decay[id(p)] for name, p in net.named_parameters() if p.requires_grad}
    assert {value for name, value in by_name.items() if name.endswith(("mean", "std", "theta", "bias"))} == {0.0}
    assert {value for name, value in by_name.items() if name.startswith("adapters.")} == {0.0}
    assert {value for name, value in by_name.items() if name.endswith((".features", ".raw"))} == {0.5}


def test_a05_units_are_not_pooled_when_the_filter_has_one_column() -> None:
    """Each unit at its own mean rate explains nothing; pooled, the difference of their rates looked like 0.7 bits."""
    generator = torch.Generator().manual_seed(0)
    robs = torch.poisson(torch.tensor([[0.1, 2.0]]).expand(2000, 2), generator=generator)
    rate = robs.mean(0, keepdim=True).expand_as(robs)
    bps = PoissonSums.of(rate, robs, torch.ones(2000, 1)).bits_per_spike()
    assert bps.shape == (2,)
    assert bps.abs().max() < 1e-6


def test_a06_bits_per_spike_of_several_ranks_is_that_of_all_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    rate = torch.rand(40, 3, generator=generator) + 0.1
    robs = torch.poisson(rate, generator=generator)
    whole = PoissonSums.of(rate, robs, torch.ones(40, 1)).bits_per_spike()
    ranks = [PoissonSums.of(rate[part], robs[part], torch.ones(20, 1)) for part in (slice(0, 20), slice(20, 40))]
    merged = PoissonSums.from_stacked(ranks[0].stacked() + ranks[1].stacked()).bits_per_spike()
    assert torch.allclose(merged, whole, atol=1e-12)
    means = torch.stack([sums.bits_per_spike() for sums in ranks]).mean(0)
    assert not torch.allclose(means, whole, atol=1e-3)


def test_a06_negative_values_are_kept(tiny_data, tmp_path) -> None:
    robs = torch.tensor([[1.0], [0.0], [0.0], [1.0]])
    bad = PoissonSums.of(torch.full((4, 1), 3.0), robs, torch.ones(4, 1)).bits_per_spike()
    expected = (math.log(3.0) * 2 - 12 - (2 * math.log(0.5) - 2)) / (2 * math.log(2))
    assert float(bad) == pytest.approx(expected)
    assert float(bad) < 0
    assert overall([mean_over_units(bad)]) == pytest.approx(expected)
    # A run whose learning rate is absurd says so in its figures.
    changes = {"optim.lr": 3.0, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "optim.warmup_steps": 0}
    result = fit.train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["val_bps_overall"] < 0


def test_a07_validation_is_the_whole_split_and_the_same_each_time(tiny_run) -> None:
    first, second = (evaluate(str(tiny_run.folder), accelerator="cpu") for _ in range(2))
    assert first == second
    stored = read_checkpoint(tiny_run.folder)
    prepared = prepare(stored.settings, 1)
    frames = [session.n_scored("val") for session in prepared.sessions]
    assert [session["n_frames"] for session in first["sessions"].values()] == frames


def test_a09_sessions_weigh_the_same_however_many_entries_they_have() -> None:
    context = context_of(config())
    many, few = clips(0, 6, context + 8, 8, 3), clips(1, 1, context + 8, 8, 2)
    few = replace(few, dfs=torch.zeros_like(few.dfs))
    few.dfs[0, 3] = 1.0
    rates = [torch.rand(6, 8, 3) + 0.1, torch.rand(1, 8, 2) + 0.1]
    counts = torch.tensor([float(many.dfs.sum()) * 3, 2.0], dtype=torch.float64)
    batch = ClipBatch(0, (many, few), counts)
    loss = step_loss(session_losses(rates, batch), batch, 1)
    means = []
    for rate, part in zip(rates, (many, few), strict=True):
        nll = rate - part.robs * rate.log()
        means.append(nll[part.dfs.expand_as(nll) > 0].mean())
    assert float(loss) == pytest.approx(float(sum(means) / 2), rel=1e-5)


def test_a11_reduced_precision_changes_the_weights(tiny_data, tmp_path) -> None:
    changes = {"trainer.precision": "bf16-mixed", "trainer.max_epochs": 1, "trainer.steps_per_epoch": 4}
    chosen = settings(tiny_data, changes)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))
    except RuntimeError as error:
        pytest.skip(f"no bfloat16 on this CPU: {error}")
    before = prepare(chosen, 1).twin.state_dict()
    fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    after = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").weights
    features = [name for name in before if name.endswith(".features")]
    assert features
    for name in features:
        assert after[name].dtype == torch.float32
        assert float((after[name] - before[name]).abs().mean()) > 1e-3


def test_a19_one_column_means_what_a_column_a_unit_means() -> None:
    context = context_of(config())
    part = clips(0, 3, context + 6, 6, 3)
    rate = torch.rand(3, 6, 3) + 0.1
    losses = []
    for dfs in (part.dfs, part.dfs.expand_as(part.robs).clone()):
        counts = torch.tensor([float(dfs.expand_as(part.robs).sum())], dtype=torch.float64)
        batch = ClipBatch(0, (replace(part, dfs=dfs),), counts)
        losses.append(float(step_loss(session_losses([rate], batch), batch, 1)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@given(total=st.integers(2, 10**5), warmup=st.integers(0, 10**4))
def test_a25_no_step_is_wasted_at_the_start(total: int, warmup: int) -> None:
    config = OptimConfig(warmup_steps=warmup)
    assert lr_factor(0, total, config) > 0
    if warmup and total > warmup:
        assert lr_factor(warmup - 1, total, config) < lr_factor(warmup, total, config) == pytest.approx(1.0)


def test_a25_the_first_step_of_a_run_moves_the_weights(tiny_data, tmp_path) -> None:
    changes = {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 1, "optim.warmup_steps": 100}
    chosen = settings(tiny_data, changes)
    before = prepare(chosen, 1).twin.state_dict()
    fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    after = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").weights
    assert not torch.equal(after["readouts.0.features"], before["readouts.0.features"])


def test_b05_the_training_loss_is_recorded(tiny_run) -> None:
    events = [json.loads(line) for line in (tiny_run.folder / "events.jsonl").read_text().splitlines()]
    losses = [event["train_loss"] for event in events if event["event"] == "validated"]
    assert len(losses) == 3
    assert all(0.05 < loss < 3 for loss in losses)


def test_b07_a_checkpoint_needs_neither_its_run_nor_the_order_of_the_data(tiny_run, tiny_data, tmp_path) -> None:
    """Recordings elsewhere, listed in another order: the same figures for the same units."""
    alone = Path(shutil.copy(tiny_run.checkpoints / "best.ckpt", tmp_path / "alone.ckpt"))
    moved = shutil.copytree(tiny_data.parent, tmp_path / "moved")
    parent = yaml.safe_load((moved / "dataset.yaml").read_text())
    parent["sessions"] = parent["sessions"][::-1]
    (moved / "dataset.yaml").write_text(yaml.safe_dump(parent, sort_keys=False))
    here = evaluate(str(alone), data=str(moved / "dataset.yaml"), accelerator="cpu")
    there = evaluate(str(tiny_run.folder), accelerator="cpu")
    assert here["sessions"].keys() == there["sessions"].keys()
    for name, session in there["sessions"].items():
        assert here["sessions"][name]["units"] == pytest.approx(session["units"], abs=1e-12)
    assert not [note for note in here["notes"] if "other recordings" in note]
