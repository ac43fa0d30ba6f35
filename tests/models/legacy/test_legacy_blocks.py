"""Blocks of old convnets, and their parts, against the formulas of the legacy specification (section 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vctrain.config.legacy_blocks import BlurPool, LegacyBlock, LegacyNormParams
from vctrain.errors import UsageError
from vctrain.models.legacy.activations import build_activation, inverse
from vctrain.models.legacy.blocks import LegacyConvBlock
from vctrain.models.legacy.convs import LegacyKernelConv, taper
from vctrain.models.legacy.norms import build_norm
from vctrain.models.legacy.pools import SoftPool
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Windows

OLD = Code(head=False, antialias=False, rms_affine=False, temperature=1.0)
HEAD = Code(head=True, antialias=False, rms_affine=None, temperature=10.0)


def stirred(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


def block(code: Code, inputs: int = 2, outputs: int = 3, **settings: Any) -> LegacyConvBlock:
    torch.manual_seed(0)
    config = LegacyBlock.model_validate({"norm_type": "none", "act_type": "none", **settings})
    return LegacyConvBlock(config, inputs, outputs, code).eval()


X = torch.randn(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(3))


def test_rms() -> None:
    expected = X / torch.sqrt(X.square().mean(1, keepdim=True) + 1e-5)
    plain = build_norm("rms", LegacyNormParams(affine=True), 4, OLD)
    assert list(plain.parameters()) == []
    torch.testing.assert_close(plain(X), expected)
    affine = stirred(build_norm("rms", LegacyNormParams(), 4, HEAD))
    gamma, beta = affine.get_parameter("gamma"), affine.get_parameter("beta")
    assert gamma.shape == beta.shape == (4,)
    torch.testing.assert_close(affine(X), expected * gamma.view(1, 4, 1, 1, 1) + beta.view(1, 4, 1, 1, 1))
    assert list(build_norm("rms", LegacyNormParams(affine=False), 4, HEAD).parameters()) == []
    wide = build_norm("rms", LegacyNormParams(target_dim=(1, 2), eps=0.1), 4, OLD)
    torch.testing.assert_close(wide(X), X / torch.sqrt(X.square().mean((1, 2), keepdim=True) + 0.1))


def test_layer() -> None:
    mean, variance = X.mean(1, keepdim=True), X.var(1, unbiased=False, keepdim=True)
    layer = build_norm("layer", LegacyNormParams(), 4, OLD)
    torch.testing.assert_close(layer(X), (X - mean) / torch.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-5)


def test_old_response_norm() -> None:
    norm = stirred(build_norm("grn", LegacyNormParams(), 4, OLD))
    offset, gamma, beta = (norm.get_parameter(name) for name in ("offset", "gamma", "beta"))
    for n in range(2):
        for c in range(4):
            rms = torch.sqrt(X[n, c].square().mean() + 1e-6)
            expected = gamma[c] * X[n, c] / (rms + min(max(float(offset.detach()), 0.1), 1.0)) + beta[c]
            torch.testing.assert_close(norm(X)[n, c], expected)


def test_head_response_norm() -> None:
    norm = stirred(build_norm("grn", LegacyNormParams(), 4, HEAD))
    gamma, beta = norm.get_parameter("gamma"), norm.get_parameter("beta")
    assert gamma.shape == (1, 4, 1, 1, 1)
    for n in range(2):
        lengths = X[n].flatten(1).norm(dim=1)
        for c in range(4):
            share = lengths[c] / (lengths.mean() + 1e-5)
            expected = gamma[0, c] * X[n, c] * share + beta[0, c] + X[n, c]
            torch.testing.assert_close(norm(X)[n, c], expected)


def test_norms_of_torch() -> None:
    assert isinstance(build_norm("batch", LegacyNormParams(), 4, OLD), nn.BatchNorm3d)
    assert not list(build_norm("batch", LegacyNormParams(affine=False), 4, OLD).parameters())
    assert not list(build_norm("instance", LegacyNormParams(), 4, OLD).parameters())
    group = build_norm("group", LegacyNormParams(num_groups=3), 4, OLD)
    assert isinstance(group, nn.GroupNorm)
    assert group.num_groups == 1  # 4 channels do not divide by 3
    assert isinstance(build_norm("none", LegacyNormParams(), 4, OLD), nn.Identity)


def test_activations() -> None:
    split = build_activation("SplitReLU")
    gain = split.get_parameter("ongain")
    assert not gain.requires_grad
    with torch.no_grad():
        gain.fill_(-2.0)
    torch.testing.assert_close(split(X), torch.cat([2 * F.relu(X), F.relu(-X)], dim=1))
    assert build_activation("splitrelu", {"trainable_gain": True}).get_parameter("ongain").requires_grad
    bounded = build_activation("bsoftplus", {"beta_init": 2.0})
    torch.testing.assert_close(bounded(X), F.softplus(2 * X) / 2, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        bounded.get_parameter("log_beta").fill_(9.0)
    torch.testing.assert_close(bounded(X), F.softplus(10 * X) / 10, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(build_activation("ELU", {"alpha": 0.5})(X), F.elu(X, 0.5))
    torch.testing.assert_close(build_activation("leakyrelu")(X), F.leaky_relu(X, 0.01))
    torch.testing.assert_close(build_activation("Swish")(X), F.silu(X))


@pytest.mark.parametrize("name", ["elu", "Linear", "Module", "MultiheadAttention", "modules", "square", "__doc__", ""])
def test_only_activations_have_names(name: str) -> None:
    with pytest.raises(UsageError, match="no activation"):
        build_activation(name)


def test_wrong_keywords_of_an_activation() -> None:
    with pytest.raises(UsageError, match="alfa"):
        build_activation("ELU", {"alfa": 1})


def test_inverse_of_a_rising_activation() -> None:
    for name in ("none", "softplus", "silu", "relu"):
        activation = build_activation(name)
        wanted = torch.tensor([0.001, 0.3, 4.0])
        torch.testing.assert_close(activation(inverse(activation, wanted)), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["aablur", "se_pool"])
@pytest.mark.parametrize(("temperature", "soft", "stride"), [(1.0, True, 2), (10.0, True, 1), (1.0, False, 2)])
def test_soft_pool(kind: str, temperature: float, soft: bool, stride: int) -> None:
    pool = stirred(SoftPool(BlurPool(type=kind, stride=stride, r=2, use_soft=soft), 4, temperature))  # type: ignore[arg-type]
    x = X.numpy().astype(np.float64)
    height, width = x.shape[3:]
    if kind == "aablur":
        kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
        padded = np.pad(x, ((0, 0),) * 3 + ((1, 1), (1, 1)))
        x = sum(kernel[i, j] * padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3))
    rows, columns = range(0, height - 1, stride), range(0, width - 1, stride)
    pooled = np.zeros((*x.shape[:3], len(rows), len(columns)))
    for a, i in enumerate(rows):
        for b, j in enumerate(columns):
            patch = x[..., i : i + 2, j : j + 2]
            weight = np.exp(patch / temperature) if soft else np.ones_like(patch)
            floor = 1e-6 if soft else 0.0
            pooled[..., a, b] = (patch * weight).mean((3, 4)) / (weight.mean((3, 4)) + floor)
    expected = torch.from_numpy(pooled).float()
    squeezed = expected.mean((3, 4))  # (n, C, T)
    w1, b1, w2, b2 = (pool.get_parameter(f"se.{name}") for name in ("1.weight", "1.bias", "3.weight", "3.bias"))
    hidden = F.silu(torch.einsum("oc,nct->not", w1[:, :, 0, 0, 0], squeezed) + b1[:, None])
    gate = torch.sigmoid(torch.einsum("co,not->nct", w2[:, :, 0, 0, 0], hidden) + b2[:, None])
    torch.testing.assert_close(pool(X), expected * gate[..., None, None], rtol=1e-4, atol=1e-5)


CONV = {"kernel_size": [3, 3, 3], "padding": [1, 2, 1]}


def kernel_of(made: LegacyConvBlock) -> Tensor:
    return made.get_parameter("components.conv.conv.weight")


def test_old_blocks_repeat_the_newest_frame_and_the_edges() -> None:
    made = block(OLD, conv_params={**CONV, "dilation": [2, 1, 1]})
    x = torch.randn(1, 2, 4, 5, 5)
    padded = F.pad(torch.cat([x[:, :, :1]] * 4 + [x], dim=2), (1, 1, 2, 2, 0, 0), mode="replicate")
    expected = F.conv3d(padded, kernel_of(made), made.get_parameter("components.conv.conv.bias"), dilation=(2, 1, 1))
    torch.testing.assert_close(made(x), expected)


def test_old_blocks_pad_with_zeros_where_asked() -> None:
    made = block(OLD, conv_params={**CONV, "padding_mode": "zeros"})
    x = torch.randn(1, 2, 4, 5, 5)
    padded = F.pad(x, (1, 1, 2, 2, 2, 0))
    expected = F.conv3d(padded, kernel_of(made), made.get_parameter("components.conv.conv.bias"))
    torch.testing.assert_close(made(x), expected)


def test_old_blocks_that_are_not_causal_pad_both_ends() -> None:
    made = block(OLD, conv_params=CONV, causal=False)
    x = torch.randn(1, 2, 4, 5, 5)
    padded = F.pad(x, (1, 1, 2, 2, 1, 1), mode="replicate")
    expected = F.conv3d(padded, kernel_of(made), made.get_parameter("components.conv.conv.bias"))
    torch.testing.assert_close(made(x), expected)


def test_head_blocks_pad_where_their_order_says() -> None:
    x = torch.randn(1, 2, 4, 7, 7)
    made = block(HEAD, conv_params=CONV)
    padded = F.pad(x, (1, 1, 2, 2, 2, 0), mode="replicate")
    expected = F.conv3d(padded, kernel_of(made), made.get_parameter("components.conv.conv.bias"))
    torch.testing.assert_close(made(x), expected)
    unpadded = block(HEAD, conv_params=CONV, order=["conv", "act"])
    assert unpadded(x).shape == (1, 3, 2, 5, 5)


def test_b9_head_blocks_of_one_lag_ignore_their_padding() -> None:
    made = block(HEAD, conv_params={"kernel_size": [1, 5, 5], "padding": 2})
    assert made(torch.randn(1, 2, 4, 9, 9)).shape == (1, 3, 4, 5, 5)


def test_steps_that_an_order_leaves_out_are_not_done() -> None:
    pool = {"type": "max", "kernel_size": 2}
    made = block(HEAD, conv_params=CONV, norm_type="batch", pool_params=pool, order=["pad", "conv", "act"])
    assert list(made.components) == ["conv", "act"]
    assert made(torch.randn(1, 2, 4, 7, 7)).shape == (1, 3, 4, 9, 7)


def test_depthwise() -> None:
    made = block(OLD, conv_params={**CONV, "type": "depthwise"})
    depthwise, pointwise = (made.get_parameter(f"components.conv.{k}.weight") for k in ("depthwise", "pointwise"))
    x = torch.randn(1, 2, 4, 5, 5)
    y = F.conv3d(F.pad(x, (1, 1, 2, 2, 2, 0), mode="replicate"), depthwise, groups=2)
    expected = F.conv3d(y, pointwise, made.get_parameter("components.conv.pointwise.bias"))
    torch.testing.assert_close(made(x), expected)
    assert "components.conv.depthwise.bias" not in made.state_dict()


@pytest.mark.parametrize("unit", [True, False])
def test_weight_norm_and_window(unit: bool) -> None:
    conv = {"kernel_size": [3, 5, 6], "use_weight_norm": True, "keep_unit_norm": unit, "aa_signal": True}
    made = block(HEAD, conv_params=conv, norm_type="rms", norm_params={"affine": False})
    prefix = "components.conv.conv.parametrizations.weight.0"
    v, g = made.get_parameter(f"{prefix}.v"), made.get_parameter(f"{prefix}.g")
    assert g.requires_grad != unit
    torch.testing.assert_close(g, torch.ones(3) if unit else v.flatten(1).norm(dim=1))
    with torch.no_grad():
        g.mul_(1.5)
    n = torch.arange(6)
    six = 0.5 - 0.5 * torch.cos(2 * torch.pi * n / 5)
    mask = torch.outer(torch.tensor([0, 0.5, 1, 0.5, 0]), six / six.max())
    expected = g.view(3, 1, 1, 1, 1) * v / v.flatten(1).norm(dim=1).view(3, 1, 1, 1, 1) * mask
    torch.testing.assert_close(made.components["conv"].conv.kernel(), expected)  # type: ignore[union-attr]
    assert set(made.state_dict()) == {f"{prefix}.v", f"{prefix}.g"}


def test_weight_norm_of_depthwise_kernels_takes_its_own_axis() -> None:
    conv = {"type": "depthwise", "kernel_size": [3, 5, 5], "use_weight_norm": True, "weight_norm_dim": 1}
    made = block(HEAD, conv_params={**conv, "aa_signal": True}, norm_type="rms")
    names = {name: tuple(p.shape) for name, p in made.named_parameters() if name.endswith(".g")}
    assert names == {
        "components.conv.depthwise.parametrizations.weight.0.g": (1,),
        "components.conv.pointwise.parametrizations.weight.0.g": (3,),
    }
    pointwise = made.components["conv"].pointwise  # type: ignore[union-attr]
    assert pointwise.parametrizations["weight"].mask is None  # type: ignore[index, union-attr]


def test_windows_by_name() -> None:
    torch.testing.assert_close(taper("kaiser", 7, {"beta": 3.0}), torch.signal.windows.kaiser(7, beta=3.0))
    for name in ("os", "__builtins__", "torch"):
        with pytest.raises(UsageError, match="no window"):
            taper(name, 7, {})
    with pytest.raises(UsageError, match="gamma"):
        taper("hann", 7, {"gamma": 3})


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        ({"type": "max", "kernel_size": 2}, (2, 3, 3)),
        ({"type": "avg", "kernel_size": [1, 3, 3], "stride": [1, 2, 2]}, (4, 3, 3)),
        ({"type": "adaptivemax", "kernel_size": [2, 4, 4]}, (2, 4, 4)),
        ({"type": "adaptiveavg", "kernel_size": 1}, (1, 1, 1)),
        ({"type": "learned", "conv_params": {"kernel_size": [1, 2, 2], "stride": [1, 2, 2]}}, (4, 3, 3)),
        (None, (4, 7, 7)),
        ({"type": "none"}, (4, 7, 7)),
    ],
)
def test_pools(pool: dict[str, Any] | None, shape: tuple[int, ...]) -> None:
    made = block(OLD, conv_params={"kernel_size": 3, "padding": 1}, pool_params=pool)
    assert made(torch.randn(1, 2, 4, 7, 7)).shape[2:] == shape


def test_b11_head_pool_after_a_kernel_of_one_lag_cannot_have_run() -> None:
    with pytest.raises(UsageError, match="one lag"):
        block(HEAD, conv_params={"kernel_size": [1, 3, 3]}, pool_params={"type": "max", "kernel_size": 2})


@pytest.mark.parametrize("stride", [1, [2, 1, 2]])
@pytest.mark.parametrize("dilation", [1, [2, 1, 3], [3, 2, 1]])
@pytest.mark.parametrize("kernel", [[5, 5, 5], [3, 7, 5], [6, 1, 5]])
def test_taps_that_a_taper_leaves_at_zero_are_left_out(kernel: Any, dilation: Any, stride: Any) -> None:
    """With steps and strides over what they skip; of windows that share frames as of each by itself."""
    conv = {"kernel_size": kernel, "stride": stride, "dilation": dilation, "padding": 0}
    net = block(OLD, conv_params={**conv, "aa_signal": True, "aa_window": "hann", "bias": True})
    (whole,) = [m for m in net.modules() if isinstance(m, LegacyKernelConv)]
    assert whole.live != tuple((0, taps) for taps in whole.size)
    stream = torch.randn(1, 2, 24, 20, 20, generator=torch.Generator().manual_seed(1))
    shared = Windows((stream,), tuple((0, lag) for lag in range(20)), 5)
    each = shared.gather()
    expected = F.conv3d(each, whole.kernel(), whole.bias, whole.stride, 0, whole.dilation)
    torch.testing.assert_close(whole(each), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(whole.on_windows(shared).gather(), expected, rtol=1e-4, atol=1e-5)


def test_response_norms_hold_in_half_precision() -> None:
    norm = stirred(build_norm("grn", LegacyNormParams(), 3, OLD))
    x = 3 * torch.randn(2, 3, 8, 40, 40, generator=torch.Generator().manual_seed(0))
    expected = norm(x)
    torch.testing.assert_close(norm.half()(x.half()).float(), expected, rtol=2e-2, atol=2e-2)
