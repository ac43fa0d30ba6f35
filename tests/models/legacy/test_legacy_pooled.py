"""Windows that are pooled before they are normalised and split are those that were pooled after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vctrain.config.legacy_blocks import LegacyBlock
from vctrain.models.legacy import blocks
from vctrain.models.legacy.blocks import LegacyConvBlock
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Windows, dense

CODES = {
    "old": Code(head=False, antialias=False, rms_affine=False, temperature=1.0),
    "head": Code(head=True, antialias=False, rms_affine=None, temperature=10.0),
}


def block(code: str, seed: int, **settings: Any) -> LegacyConvBlock:
    """A block whose gains are of both signs."""
    torch.manual_seed(seed)
    config = {"conv_params": {"kernel_size": [3, 3, 3], "padding": 0}, "norm_type": "grn", "act_type": "splitrelu"}
    made = LegacyConvBlock(LegacyBlock.model_validate({**config, **settings}), 2, 6, CODES[code]).eval()
    with torch.no_grad():
        for parameter in made.components["norm"].parameters():
            parameter.copy_(3 * torch.randn_like(parameter))
        made.components["act"].get_parameter("ongain").fill_(-0.7)
    return made


def windows(seed: int, lags: int, count: int) -> Windows:
    stream = torch.randn(2, 2, lags + count - 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return Windows((stream,), tuple((0, lag) for lag in range(lags)), count)


def outcome(net: LegacyConvBlock, x: Windows | Tensor) -> tuple[Tensor, list[Tensor]]:
    """What comes out, and the gradients of a sum of it with random weights."""
    out = dense(net(x))
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(7))
    parameters = [p for p in net.parameters() if p.requires_grad]
    return out.detach(), list(torch.autograd.grad((out * weights).sum(), parameters))


@given(
    st.sampled_from(list(CODES)),
    st.integers(0, 10**6),
    st.integers(5, 8),
    st.integers(1, 4),
    st.sampled_from([2, [1, 2, 2], [2, 3, 3], 3]),
    st.sampled_from([1, 2, [1, 2, 2], [2, 1, 1]]),
    st.sampled_from([0, [0, 1, 1]]),
)
def test_pooling_first_changes_nothing(
    code: str, seed: int, lags: int, count: int, kernel: Any, stride: Any, padding: Any
) -> None:
    pool = {"type": "max", "kernel_size": kernel, "stride": stride, "padding": padding}
    net = block(code, seed, pool_params=pool)
    x = windows(seed, lags, count)
    shared, gradients = outcome(net, x)
    each, expected = outcome(net, x.gather())
    # values near zero are differences of values around ten, whose norms are summed in another order
    torch.testing.assert_close(shared, each, rtol=1e-4, atol=1e-5)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max() + 1e-6))


@pytest.mark.parametrize(
    ("settings", "together"),
    [
        ({}, True),
        ({"dropout": 0.5}, True),
        ({"act_type": "relu"}, False),
        ({"norm_type": "rms"}, False),
        ({"pool_params": {"type": "avg", "kernel_size": 2, "stride": 2}}, False),
        ({"pool_params": {"type": "max", "kernel_size": 3, "stride": 2, "padding": 1}}, False),
        ({"order": ["pad", "conv", "norm", "pool", "act"]}, False),
    ],
)
def test_only_what_keeps_the_order_of_values_is_pooled_first(
    settings: dict[str, Any], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = blocks.pooled

    def counted(*given: Any) -> Tensor:
        calls.append(1)
        return original(*given)

    monkeypatch.setattr(blocks, "pooled", counted)
    pool = {"type": "max", "kernel_size": 2, "stride": 2}
    config = {"conv_params": {"kernel_size": 3, "padding": 1}, "norm_type": "grn", "act_type": "splitrelu"}
    torch.manual_seed(0)
    net = LegacyConvBlock(LegacyBlock.model_validate({**config, "pool_params": pool, **settings}), 2, 4, CODES["old"])
    x = windows(0, 6, 3)
    net.eval()
    torch.testing.assert_close(dense(net(x)), net(x.gather()), rtol=1e-4, atol=1e-5)
    assert bool(calls) is together
    if settings.get("dropout"):
        calls.clear()
        net.train()(x)
        assert not calls


def test_dead_channels_have_finite_gradients() -> None:
    net = block("head", 0, pool_params={"type": "max", "kernel_size": 2, "stride": 2})
    zero = Windows((torch.zeros(1, 2, 9, 9, 9),), tuple((0, lag) for lag in range(6)), 4)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    _, gradients = outcome(net, zero)
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert any(isinstance(m, nn.MaxPool3d) for m in net.modules())
