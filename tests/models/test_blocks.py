"""Blocks compute their convolution, stay aligned with their shortcut, stream, and learn in every parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from models.made_blocks import SIDE, assert_learns, assert_streams, blocks, nudged

from vctrain.config.components.blocks import Block, ResidualBlock
from vctrain.errors import UsageError
from vctrain.models.blocks import ConvBlock, DenseConvBlock, ResidualConvBlock
from vctrain.models.geometry import Geometry, Space

IN = Space(2, Geometry(SIDE))


def block(**settings: Any) -> ConvBlock:
    return ConvBlock(Block.model_validate({"norm": "none", "activation": "none", **settings}), IN)


def slow_convolution(x: np.ndarray, kernel: np.ndarray, config: Block, groups: int) -> np.ndarray:
    """Sums over taps, one by one."""
    taps, height, width = config.kernel
    dt, dy, dx = config.dilation
    pads = (0, 0) if config.padding == "valid" else (dy * (height // 2), dx * (width // 2))
    mode = "edge" if config.padding == "replicate" else "constant"
    x = np.pad(x, [(0, 0)] * 3 + [(pads[0],) * 2, (pads[1],) * 2], mode=mode)
    rows = (x.shape[3] - dy * (height - 1) - 1) // config.stride[0] + 1
    columns = (x.shape[4] - dx * (width - 1) - 1) // config.stride[1] + 1
    frames = x.shape[2] - dt * (taps - 1)
    out = np.zeros((len(x), len(kernel), frames, rows, columns))
    per_in, per_out = x.shape[1] // groups, len(kernel) // groups
    for o in range(len(kernel)):
        for i in range(per_in):
            channel = x[:, (o // per_out) * per_in + i]
            for t, a, b in np.ndindex(taps, height, width):
                seen = channel[:, dt * t :][:, :frames, dy * a :, dx * b :]
                seen = seen[:, :, :: config.stride[0], :: config.stride[1]][:, :, :rows, :columns]
                out[:, o] += kernel[o, i, t, a, b] * seen
    return out


@examples(max_examples=20, deadline=None)
@given(blocks())
def test_the_convolution_is_the_sum_over_its_taps(settings):
    config = Block.model_validate({**settings, "norm": "none", "activation": "none", "pool": "none", "dropout": 0.0})
    torch.manual_seed(0)
    built = nudged(ConvBlock(config, IN)).eval()
    x = torch.randn(2, 2, 7, SIDE, SIDE)
    expected = slow_convolution(x.numpy(), built.kernel().detach().numpy(), config, built.groups)
    if built.pointwise is not None:
        expected = np.einsum("oc,nctyx->notyx", built.pointwise().detach().numpy()[:, :, 0, 0, 0], expected)
    if built.bias is not None:
        expected += built.bias.detach().numpy()[:, None, None, None]
    with torch.no_grad():
        got = built(x).numpy()
    assert got.shape == expected.shape
    assert np.allclose(got, expected, atol=1e-4)


@examples(max_examples=25, deadline=None)
@given(blocks(), st.sampled_from(["plain", "residual", "dense"]))
def test_blocks_stream_and_learn(settings, kind):
    torch.manual_seed(0)
    if kind == "residual":
        config = {**settings, "shortcut_norm": "rms", "post_activation": "silu"}
        built = ResidualConvBlock(ResidualBlock.model_validate(config), IN)
    else:
        built = (DenseConvBlock if kind == "dense" else ConvBlock)(Block.model_validate(settings), IN)
    x = torch.randn(2, 2, built.history + 4, SIDE, SIDE)
    assert_streams(nudged(built), x, built.history)
    assert_learns(built, x)
    out = built(x)
    assert (out.shape[1], out.shape[3], out.shape[4]) == (built.out.channels, *[built.out.geometry.size] * 2)


MEANS = [
    "none",
    "avg",
    {"type": "avg", "kernel": 3, "stride": 2},
    {"type": "max", "kernel": 3, "stride": 2},
    "se",
    "learned",
    {"type": "aablur"},
    {"type": "aablur", "stride": 1},
    {"type": "adaptiveavg", "size": 4},
]


@examples(max_examples=40, deadline=None)
@given(blocks(), st.sampled_from(MEANS))
def test_a24_shortcut_and_main_path_stand_where_the_geometry_says(settings, pool):
    """On an image whose value is its own row, both paths hand on the rows that the geometry names; and the newest
    frames."""
    stride = 1 if settings["stride"] == 3 else settings["stride"]
    changes = {"norm": "none", "activation": "none", "groups": 1, "dropout": 0.0, "pool": pool, "stride": stride}
    built = ConvBlock(Block.model_validate({**settings, **changes, "weight_norm": False, "keep_unit_norm": False}), IN)
    frames = torch.arange(built.history + 3.0)
    rows = torch.arange(float(SIDE)).view(1, 1, 1, SIDE, 1).expand(1, 2, len(frames), SIDE, SIDE)
    geometry = built.out.geometry
    expected = geometry.offset + geometry.stride * torch.arange(geometry.size)
    carried = built.carried(rows)
    # Windows of an adaptive pool overlap where the side is no multiple: right within half a pixel.
    slack = built.stride / 2 if pool in MEANS[-1:] else 1e-4
    assert carried.shape[2:] == (3, geometry.size, geometry.size)
    assert float((carried - expected.view(-1, 1)).abs().max()) <= slack
    newest = built.carried(frames.view(1, 1, -1, 1, 1).expand(1, 2, -1, SIDE, SIDE))
    assert torch.equal(newest[0, 0, :, 0, 0], torch.arange(3.0) + built.history)
    if pool not in ("none", "avg"):
        return  # their own tests say what they compute
    built.kernel.set_effective(torch.ones_like(built.kernel.raw) / built.kernel.raw[0].numel())
    if built.pointwise is not None:
        built.pointwise.set_effective(torch.full_like(built.pointwise.raw, 0.5))
    with torch.no_grad():
        main = built(rows.contiguous())[0, 0, 0]
    # Away from borders, where padding is part of the mean.
    reach = max(built.padding)
    inside = (expected >= reach + geometry.stride / 2) & (expected <= SIDE - 1 - reach - geometry.stride / 2)
    assert torch.allclose(main[inside][:, inside], expected[inside, None].expand(-1, int(inside.sum())), atol=1e-3)


def test_a24_a_dead_main_path_leaves_the_newest_frames_centred():
    config = ResidualBlock.model_validate(
        {"channels": 2, "kernel": [3, 3, 3], "padding": "valid", "norm": "none", "activation": "none"}
    )
    built = ResidualConvBlock(config, Space(2, Geometry(7)))
    built.kernel.set_effective(torch.zeros_like(built.kernel.raw))
    x = torch.randn(1, 2, 6, 7, 7)
    assert torch.equal(built(x), x[:, :, 2:, 1:-1, 1:-1])


@pytest.mark.parametrize("pool", ["none", "max", "avg"])
@pytest.mark.parametrize(("padding", "stride"), [("same", 1), ("same", 2), ("valid", 1)])
def test_geometry_says_where_a_feature_comes_from(pool, padding, stride):
    """The gradient of one output pixel is centred where the geometry says."""
    built = ConvBlock(
        Block.model_validate(
            {
                "channels": 2,
                "kernel": [1, 5, 5],
                "padding": padding,
                "stride": stride,
                "pool": pool,
                "norm": "none",
                "activation": "none",
            }
        ),
        Space(1, Geometry(21)),
    )
    built.kernel.set_effective(torch.ones_like(built.kernel.raw))
    x = torch.randn(1, 1, 1, 21, 21, requires_grad=True)
    out = built(x)
    at = out.shape[-1] // 2
    assert out.shape[-1] == built.out.geometry.size
    if pool == "max":
        return  # the gradient follows the winner, not the centre
    out[0, 0, 0, at, at].backward()
    weight = x.grad[0, 0, 0].abs().sum(1)
    centre = float((weight * torch.arange(21)).sum() / weight.sum())
    assert centre == pytest.approx(built.out.geometry.stride * at + built.out.geometry.offset, abs=1e-4)


def test_a_densely_joined_block_follows_its_input():
    config = Block.model_validate({"channels": 3, "kernel": [2, 3, 3], "activation": "splitrelu", "pool": "max"})
    built = DenseConvBlock(config, IN)
    x = torch.randn(1, 2, 4, SIDE, SIDE)
    got = built(x)
    assert built.out == Space(2 + 6, IN.geometry.after(2, 2, 0))
    assert torch.allclose(got[:, :2], torch.nn.functional.avg_pool3d(x[:, :, 1:], (1, 2, 2)))
    assert torch.equal(got[:, 2:], ConvBlock.forward(built, x))


def test_b9_padding_holds_for_kernels_of_one_frame():
    for padding, size in (("same", SIDE), ("replicate", SIDE), ("valid", SIDE - 4)):
        assert block(channels=1, kernel=[1, 5, 5], padding=padding).out.geometry.size == size


def test_b9_a_stride_may_be_a_list():
    built = ResidualConvBlock(ResidualBlock.model_validate({"channels": 2, "stride": [2, 2], "norm": "none"}), IN)
    assert built(torch.randn(1, 2, 1, SIDE, SIDE)).shape == (1, 4, 1, 7, 7)


def test_the_bias_stands_in_for_a_norm():
    assert block(channels=2).bias is not None
    assert block(channels=2, norm="rms").bias is None
    assert block(channels=2, norm="rms", bias=True).bias is not None
    assert block(channels=2, bias=False).bias is None


@pytest.mark.parametrize("conv", ["standard", "depthwise"])
def test_b12_unit_norm_is_the_norm_of_the_windowed_kernel(conv):
    built = block(channels=4, kernel=[3, 9, 9], conv=conv, window="hann", weight_norm=True, keep_unit_norm=True)
    nudged(built)
    norms = built.kernel().flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)
    assert not any(name.endswith("gain") for name, _ in built.named_parameters())
    assert float((built.kernel() == 0).float().mean()) == 0.0


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"groups 2 of a block do not divide the 3 channels"):
        ConvBlock(Block(channels=4, groups=2), Space(3, Geometry(9)))
    with pytest.raises(UsageError, match=r"kernel \[1, 7, 7\] leaves no feature map of the 5x5 pixels"):
        ConvBlock(Block(channels=4, kernel=(1, 7, 7), padding="valid"), Space(3, Geometry(5)))
    with pytest.raises(UsageError, match="pool adaptiveavg of size 6 has only 5 pixels"):
        ConvBlock(
            Block.model_validate({"channels": 1, "pool": {"type": "adaptiveavg", "size": 6}}), Space(3, Geometry(5))
        )


@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize(
    "pool", [{"type": "max", "kernel": 3, "stride": 2}, {"type": "max"}, {"type": "adaptivemax", "size": 3}]
)
def test_rectified_maxima_are_maxima_of_what_was_rectified(pool, gain):
    """Values and gradients are those of pooling last, as the order of the block says."""
    torch.manual_seed(0)
    activation = {"type": "splitrelu", "trainable_gain": gain}
    settings = {"channels": 3, "kernel": [2, 3, 3], "norm": "grn", "activation": activation, "pool": pool}
    block = ConvBlock(Block.model_validate(settings), Space(2, Geometry(9)))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = torch.randn(2, 2, 4, 9, 9)
    found = block(x)
    expected = block.pool(block.activation(block.norm(block._convolve(x))))
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    gradients = [torch.autograd.grad((y * weights).sum(), list(block.parameters())) for y in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_dropout_is_drawn_before_the_pool():
    torch.manual_seed(0)
    pool = {"type": "max", "kernel": 2, "stride": 2}
    settings = {"channels": 50, "kernel": [1, 3, 3], "activation": {"type": "splitrelu"}, "dropout": 0.5, "pool": pool}
    block = ConvBlock(Block.model_validate(settings), Space(1, Geometry(9))).train()
    dead = (block(torch.randn(1, 1, 1, 9, 9)) == 0).all(4).all(3)
    assert 0.2 < float(dead.float().mean()) < 0.8
    assert not bool((block.eval()(torch.randn(1, 1, 1, 9, 9)) == 0).all(4).all(3).any())
