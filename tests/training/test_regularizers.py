"""Regularizers touch what their patterns name, as strongly as their schedule says, and refuse what has no effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from models.made_twins import BLOCK, config, twin

from vctrain.config.regularization import Regularizer
from vctrain.errors import UsageError
from vctrain.training.regularizers import adam_steps, kept_from_decay, match, penalties, proximal_step

SHARED = Path(__file__).resolve().parents[3] / "shared"


def regularizer(kind: str, strength: float = 0.5, apply_to: Any = ("features",), **more: Any) -> Regularizer:
    return Regularizer(name=kind, type=kind, strength=strength, apply_to=apply_to, **more)


def stepped(net: torch.nn.Module, lr: float = 0.1, steps: int = 3) -> torch.optim.AdamW:
    """An optimizer that has moved every parameter by random gradients; the gradients are still there."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return optimizer


def test_every_piece_of_a_pattern_must_be_in_the_name_and_any_pattern_suffices() -> None:
    net = twin(config())
    (found,) = match(net, [regularizer("l1", apply_to=("readouts/std", "1/mean"))])
    assert [t.name for t in found.targets] == ["readouts.0.std", "readouts.1.mean", "readouts.1.std"]


@pytest.mark.parametrize(("pattern", "near"), [("readouts/feature_weights", "readouts.0"), ("frontent", "frontend")])
def test_a_pattern_that_matches_nothing_lists_near_names(pattern: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"regularizer l1: no parameter matches '{pattern}'") as caught:
        match(twin(config()), [regularizer("l1", apply_to=("std", pattern))])
    assert near in caught.value.hint
    assert caught.value.code == 2


def test_frozen_parameters_are_not_matched() -> None:
    net = twin(config())
    for parameter in net.readouts.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(UsageError, match="no parameter matches 'features'"):
        match(net, [regularizer("l1")])


def test_penalties_are_their_formulas() -> None:
    net = twin(config())
    features = [r.features for r in net.readouts]
    entries = [
        regularizer("l1"),
        regularizer("l2"),
        regularizer("group_lasso", groups="unit"),
        regularizer("ortho"),
    ]
    found = penalties(match(net, entries), 0)
    rows = [torch.nn.functional.normalize(f, dim=1) for f in features]
    expected = {
        "l1": sum(f.abs().sum() for f in features),
        "l2": sum(f.square().sum() for f in features),
        "group_lasso": sum(f.norm(dim=1).sum() for f in features),
        "ortho": sum((r @ r.T - torch.eye(len(r))).square().sum() for r in rows),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(0.5 * float(value), rel=1e-5), name


def test_b3_group_lasso_has_groups() -> None:
    """Not one norm of the whole tensor: a filter, a unit or a channel each."""
    net = twin(config())
    whole = sum(float(r.features.norm()) for r in net.readouts)
    for groups, axis in (("unit", 1), ("channel", 0)):
        found = penalties(match(net, [regularizer("group_lasso", 1.0, groups=groups)]), 0)["group_lasso"]
        assert found.item() == pytest.approx(sum(float(r.features.norm(dim=axis).sum()) for r in net.readouts))
        assert found.item() > 1.2 * whole
    kernels = [m for n, m in net.named_modules() if n.startswith("convnet") and type(m).__name__ == "Kernel"]
    entry = regularizer("group_lasso", 1.0, apply_to=("convnet/raw",), groups="filter")
    expected = sum(float(k().flatten(1).norm(dim=1).sum()) for k in kernels)
    assert penalties(match(net, [entry]), 0)["group_lasso"].item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="has units, no filters"):
        match(net, [regularizer("group_lasso", groups="filter")])


def test_penalties_see_kernels_as_the_twin_computes_with_them() -> None:
    """Under a window and weight normalisation the raw kernel is not what filters the stimulus."""
    net = twin(config())
    assert net.convnet is not None
    kernel = net.convnet.stem.kernel
    (found,) = match(net, [regularizer("l2", 1.0, apply_to=("stem.kernel.raw",))])
    assert penalties([found], 0)["l2"].item() == pytest.approx(float(kernel().square().sum()), rel=1e-5)
    with pytest.raises(UsageError, match=r"stem.kernel.raw is weight-normalised") as caught:
        match(net, [regularizer("proximal_l1", apply_to=("stem.kernel.raw",))])
    assert "stem.kernel.gain" in caught.value.hint


def test_thresholds_are_in_the_steps_of_the_elements() -> None:
    net = twin(config())
    optimizer = stepped(net)
    before = net.readouts[0].features.detach().clone()
    state = optimizer.state[net.readouts[0].features]
    steps = 0.1 / ((state["exp_avg_sq"] / (1 - 0.999**3)).sqrt() + 1e-8)
    assert torch.allclose(adam_steps(optimizer, net.readouts[0].features, optimizer.param_groups[0]), steps)
    proximal_step(match(net, [regularizer("proximal_l1")]), 0, optimizer)
    expected = before.sign() * (before.abs() - 0.5 * steps).clamp_min(0)
    assert torch.allclose(net.readouts[0].features, expected)
    assert (expected == 0).any()


@pytest.mark.parametrize(("groups", "axis"), [("unit", 1), ("channel", 0)])
def test_a_group_vanishes_as_a_whole_or_keeps_its_direction(groups: str, axis: int) -> None:
    net = twin(config())
    optimizer = stepped(net)
    features = net.readouts[0].features
    before = features.detach().clone()
    steps = adam_steps(optimizer, features, optimizer.param_groups[0]).mean(axis)
    length = before.norm(dim=axis)
    strength = float((length / steps).median())
    proximal_step(match(net, [regularizer("proximal_group_lasso", strength, groups=groups)]), 0, optimizer)
    factor = (1 - strength * steps / length).clamp_min(0)
    assert (factor == 0).any()
    assert (factor > 0).any()
    assert torch.allclose(features, before * factor.unsqueeze(axis), atol=1e-6)


def test_clamps_take_no_step_size() -> None:
    for kind, low, high in (
        ("proximal_clamp", -0.05, 0.05),
        ("proximal_clamp_positive", 0, 0.05),
        ("proximal_clamp_min", 0.05, 9),
    ):
        net = twin(config())
        optimizer = stepped(net, lr=1e-3)
        before = net.readouts[0].features.detach().clone()
        proximal_step(match(net, [regularizer(kind, 0.05)]), 0, optimizer)
        assert torch.equal(net.readouts[0].features, before.clamp(low, high))


def test_a_parameter_without_gradient_is_left_alone() -> None:
    net = twin(config())
    optimizer = stepped(net)
    before = net.readouts[1].features.detach().clone()
    net.readouts[1].features.grad = None
    proximal_step(match(net, [regularizer("proximal_l1", 10.0)]), 0, optimizer)
    assert torch.equal(net.readouts[1].features, before)
    assert float(net.readouts[0].features.abs().max()) == 0.0


def test_what_is_kept_from_weight_decay() -> None:
    net = twin(config(convnet={"type": "resnet", "stem": None, "blocks": [BLOCK]}))
    entries = [
        regularizer("l2", apply_to=("1.features",)),
        regularizer("proximal_group_lasso", apply_to=("blocks.0.kernel.raw",), groups="filter"),
        regularizer("l1", apply_to=("0.features",)),
    ]
    assert kept_from_decay(match(net, entries)) == {"readouts.1.features", "convnet.blocks.0.kernel.raw"}


def test_b2_ramps_and_decays_hold_their_final_value_and_their_first() -> None:
    line = {"start_epoch": 2, "end_epoch": 6}
    ramp = regularizer("l1", 1.5, schedule={"kind": "linear_ramp", **line})
    decay = regularizer("l1", 1.5, schedule={"kind": "linear_decay", "start_lambda": 10.0, **line})
    assert [ramp.strength_at(e) for e in (0, 2, 4, 6, 60)] == pytest.approx([0, 0, 0.75, 1.5, 1.5])
    assert [decay.strength_at(e) for e in (0, 2, 4, 6, 60)] == pytest.approx([10, 10, 5.75, 1.5, 1.5])


def test_schedules_are_those_of_the_earlier_system_where_it_was_right() -> None:
    reference = SHARED / "fixtures" / "legacy" / "schedules_reference.json"
    if not reference.is_file():
        pytest.skip(f"no reference data at {reference}")
    for case in json.loads(reference.read_text())["regularizer_schedules"]:
        entry = Regularizer.model_validate(
            {"name": "r", "type": "l1", "lambda": case["lam"], "apply_to": ["x"], "schedule": case["schedule"]}
        )
        for epoch, expected in enumerate(case["weights_epoch_0_to_15"]):
            kind, found = case["schedule"]["kind"], entry.strength_at(epoch)
            if kind == "linear_ramp" and epoch > case["schedule"]["end_epoch"]:
                assert (expected, found) == (0.0, 1.5), "defect B2"
            elif kind == "linear_decay" and epoch < case["schedule"]["start_epoch"]:
                assert (expected, found) == (0.0, 10.0), "defect B2"
            else:
                assert found == pytest.approx(expected), (kind, epoch)
