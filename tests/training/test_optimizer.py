"""Which parameters learn at which rate and decay: read from the optimizer itself."""

from __future__ import annotations

import pytest
import torch
from models.made_twins import BLOCK, config, twin

from vctrain.config.schema import OptimConfig
from vctrain.training.optimizer import build_optimizer, parameter_groups

FULL = config(
    adapter={"type": "adapter", "transform": "affine"},
    frontend={"type": "learnable_temporal", "kernel_size": 5, "num_channels": 3, "bias": True},
    convnet={"type": "resnet", "stem": {**BLOCK, "weight_norm": True}, "blocks": [BLOCK, {**BLOCK, "norm": "rms"}]},
    modulator={"type": "film", "dims": [8, 4]},
    recurrent={"type": "convgru", "hidden": 6, "kernel": 3, "warmup": 4},
)
OPTIM = OptimConfig(lr=0.01, core_lr_scale=0.25, weight_decay=0.5)


def by_name() -> dict[str, dict]:
    """The optimizer group of every parameter."""
    net = twin(FULL, behavior=5)
    optimizer = build_optimizer(parameter_groups(net, OPTIM), OPTIM)
    names = {id(p): name for name, p in net.named_parameters() if p.requires_grad}
    found: dict[str, dict] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group
    assert set(found) == set(names.values())
    return found


def test_every_parameter_is_in_one_group_and_the_core_learns_at_its_own_rate() -> None:
    found = by_name()
    head = {name for name in found if name.startswith(("adapters.", "readouts."))}
    assert head
    assert head != set(found)
    for name, group in found.items():
        assert group["lr"] == pytest.approx(0.01 if name in head else 0.0025), name


@pytest.mark.parametrize("scale", [0.01, 1.0, 2.0])
def test_core_lr_scale_changes_how_far_the_core_moves(scale: float) -> None:
    optim = OptimConfig(lr=0.01, core_lr_scale=scale, weight_decay=0.0)
    net = twin(config())
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = build_optimizer(parameter_groups(net, optim), optim)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        expected = 0.01 if name.startswith(("adapters.", "readouts.")) else 0.01 * scale
        assert torch.allclose(before[name] - parameter, torch.full_like(parameter, expected), rtol=1e-3, atol=1e-6)


def test_a_step_without_gradient_shrinks_weights_and_nothing_else() -> None:
    """With zero gradients AdamW only decays, so what changes is what decays."""
    net = twin(FULL, behavior=5)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = build_optimizer(parameter_groups(net, OPTIM), OPTIM)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = {name for name, p in net.named_parameters() if not torch.equal(before[name], p)}
    kept = set(before) - decayed
    assert {f"readouts.{i}.features" for i in (0, 1)} <= decayed
    assert {name for name in decayed if name.startswith("readouts.")} == {f"readouts.{i}.features" for i in (0, 1)}
    assert {f"readouts.{i}.{part}" for i in (0, 1) for part in ("mean", "std", "theta", "bias")} <= kept
    assert not [name for name in decayed if name.startswith("adapters.")]
    assert not [name for name in decayed if name.endswith("bias")]
    assert not [name for name in decayed if before[name].ndim < 2]
    # Every convolution of the core has a kernel that decays.
    owned = ("adapters.", "readouts.")
    convolutions = {name for name, p in before.items() if p.ndim >= 4 and not name.startswith(owned)}
    assert convolutions
    gains = {name for name in convolutions if sum(side > 1 for side in before[name].shape) <= 1}
    assert convolutions - gains <= decayed
    assert not gains & decayed, "gains of norms are stored with broadcast axes"


def test_layers_that_read_past_spikes_decay_and_their_biases_do_not() -> None:
    net = twin(config(history={"type": "mlp", "num_lags": 2, "hidden": [3]}, baseline={"type": "learned"}))
    decays = {name: group.weight_decay for group in parameter_groups(net, OPTIM) for name, _ in group.parameters}
    assert {decays[f"readouts.1.history.net.layers.{i}.weight"] for i in (0, 1)} == {0.5}
    assert {decays[f"readouts.1.history.net.layers.{i}.bias"] for i in (0, 1)} == {0.0}
    assert decays["readouts.0.baseline.raw"] == 0.0
