"""Settings of blocks and bottlenecks drawn by hypothesis, and what every stage of a twin must hold."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

SIDE = 13
NORMS = ["none", "rms", "layer", "grn", "instance", {"type": "group", "groups": 2}, "batch"]
ACTIVATIONS = ["none", "relu", "leakyrelu", "gelu", "sigmoid", "tanh", "silu", "mish", "softplus", "square"]
WIDE = ["bsoftplus", "splitrelu", {"type": "splitrelu", "trainable_gain": True}]
POOLS = [
    "none",
    "max",
    "avg",
    {"type": "max", "kernel": 3, "stride": 2},
    {"type": "adaptivemax", "size": 4},
    {"type": "adaptiveavg", "size": 3},
    "se",
    {"type": "aablur", "stride": 2, "reduction": 2},
    {"type": "aablur", "stride": 1},
    {"type": "aablur", "stride": 2, "soft": False},
    "learned",
]


def blocks() -> st.SearchStrategy[dict[str, Any]]:
    """Blocks that read two channels of a map of `SIDE` pixels."""
    return st.fixed_dictionaries(
        {
            "channels": st.sampled_from([2, 4]),
            "kernel": st.tuples(st.integers(1, 3), *[st.sampled_from([1, 3, 5])] * 2).map(list),
            "conv": st.sampled_from(["standard", "depthwise"]),
            "stride": st.sampled_from([1, 2, [2, 2], 3]),
            "dilation": st.sampled_from([1, 2, [2, 1, 1], [1, 2, 2]]),
            "padding": st.sampled_from(["same", "replicate"]),
            "bias": st.sampled_from([None, True]),
            "norm": st.sampled_from(NORMS),
            "activation": st.sampled_from(ACTIVATIONS + WIDE),
            "pool": st.sampled_from(POOLS),
            "dropout": st.sampled_from([0.0, 0.3]),
            "window": st.sampled_from(["none", "hann", "kaiser"]),
            "weight_norm": st.booleans(),
        }
    ).map(_fitting)


def _fitting(block: dict[str, Any]) -> dict[str, Any]:
    """Where some choices go together only: crops with square kernels, groups with standard kernels, pools with room,
    biases with norms that leave them."""
    kernel = block["kernel"]
    if kernel[1] == kernel[2] == 3 and block["dilation"] == 1:
        block = {**block, "padding": "valid"}
    if block["conv"] == "standard" and block["channels"] == 4:
        block = {**block, "groups": 2}
    if block["stride"] == 3 and block["pool"] not in ("none", "se"):
        block = {**block, "stride": 1}
    if block["norm"] not in ("none", "rms", "layer", "grn"):
        block = {**block, "bias": None}
    return {**block, "keep_unit_norm": block["weight_norm"] and block["channels"] == 2}


def assert_streams(stage: nn.Module, x: Tensor, history: int, *, reads_oldest: bool = True) -> None:
    """Every frame of ``stage(x)`` is that of the clip of just its ``history`` and itself, so it depends on nothing else
    and a shifted clip has the shifted output; and the oldest of these frames is really read."""
    stage.eval()
    with torch.no_grad():
        whole = stage(x)
        assert whole.shape[2] == x.shape[2] - history
        for frame in range(whole.shape[2]):
            alone = stage(x[:, :, frame : frame + history + 1])
            assert torch.allclose(alone, whole[:, :, frame : frame + 1], atol=1e-5, rtol=1e-4)
        shifted = stage(x[:, :, 2:])
        assert torch.allclose(shifted, whole[:, :, 2:], atol=1e-5, rtol=1e-4)
        if reads_oldest:
            other = x.clone()
            other[:, :, 0] += torch.randn_like(other[:, :, 0])
            changed = (stage(other) - whole).abs().amax((0, 1, 3, 4))
            assert float(changed[0]) > 0
            assert float(changed[1:].max()) < 1e-5


def assert_learns(stage: nn.Module, x: Tensor) -> None:
    """In training, every parameter that is to learn has a finite gradient that is not zero throughout."""
    stage.train()
    y = stage(x)
    (y * torch.randn_like(y)).sum().backward()
    for name, parameter in stage.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert float(parameter.grad.abs().sum()) > 0, name


def nudged(stage: nn.Module) -> nn.Module:
    """``stage`` with every parameter away from its special starting value."""
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return stage
