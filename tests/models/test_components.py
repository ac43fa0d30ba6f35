"""Components against slow, independent computations."""

import pytest
import torch
import torch.nn.functional as F

from vctrain.config.components.convnets import Block
from vctrain.config.components.frontends import LearnableTemporal
from vctrain.config.components.readouts import GaussianReadout
from vctrain.config.components.recurrent import ConvGRU
from vctrain.models.convnet import ConvBlock, Geometry, SplitReLU
from vctrain.models.frontend import TemporalBank
from vctrain.models.norms import ChannelRMS, SpatialGRN
from vctrain.models.readout import GaussianMaskReadout
from vctrain.models.recurrent import ConvGRUStage


def test_temporal_bank_is_a_valid_correlation_over_time():
    bank = TemporalBank(LearnableTemporal(kernel_size=4, num_channels=3, init="random"))
    x = torch.randn(2, 9, 5, 6, requires_grad=True)
    got = bank(x)
    expected = F.conv3d(x[:, None], bank.kernel()[:, :, :, None, None])
    assert torch.allclose(got, expected, atol=1e-5)
    (got * torch.arange(got.numel()).view_as(got)).sum().backward()
    ours = bank.kernel.raw.grad.clone()
    bank.kernel.raw.grad = None
    (expected * torch.arange(got.numel()).view_as(got)).sum().backward()
    assert torch.allclose(ours, bank.kernel.raw.grad, rtol=1e-3)


def test_norms_never_look_across_time():
    x = torch.randn(2, 6, 5, 4, 4)
    other = x.clone()
    other[:, :, 3] = torch.randn(2, 6, 4, 4)
    for norm in (ChannelRMS(6), SpatialGRN(6)):
        same = torch.tensor([0, 1, 2, 4])
        assert torch.equal(norm(x)[:, :, same], norm(other)[:, :, same])


def test_grn_has_a_finite_gradient_on_a_blank_frame():
    x = torch.zeros(1, 3, 2, 4, 4, requires_grad=True)
    SpatialGRN(3)(x).sum().backward()
    assert bool(x.grad.isfinite().all())


def test_splitrelu_keeps_both_signs():
    x = torch.randn(1, 2, 1, 3, 3)
    on, off = SplitReLU()(x).chunk(2, dim=1)
    assert torch.equal(on - off, x)
    assert float((on * off).abs().max()) == 0.0


@pytest.mark.parametrize("pool", ["none", "max", "avg"])
@pytest.mark.parametrize(("padding", "stride"), [("same", 1), ("same", 2), ("valid", 1)])
def test_geometry_says_where_a_feature_comes_from(pool, padding, stride):
    """The gradient of one output pixel is centred where the geometry says."""
    geometry = Geometry(21)
    block = ConvBlock(
        Block(channels=2, kernel=(1, 5, 5), padding=padding, stride=stride, pool=pool, norm="none", activation="none"),
        1,
        geometry,
        residual=False,
    )
    block.kernel.set_effective(torch.ones_like(block.kernel.raw))
    x = torch.randn(1, 1, 1, 21, 21, requires_grad=True)
    out = block(x)
    at = out.shape[-1] // 2
    assert out.shape[-1] == block.geometry.size
    if pool == "max":
        return  # the gradient follows the winner, not the centre
    out[0, 0, 0, at, at].backward()
    weight = x.grad[0, 0, 0].abs().sum(1)
    centre = float((weight * torch.arange(21)).sum() / weight.sum())
    assert centre == pytest.approx(block.geometry.stride * at + block.geometry.offset, abs=1e-4)


def test_a24_the_shortcut_is_aligned_in_time_and_space():
    """With a dead main path the block hands on the newest frames, centred."""
    config = Block(channels=2, kernel=(3, 3, 3), padding="valid", norm="none", activation="none")
    block = ConvBlock(config, 2, Geometry(7), True)
    block.kernel.set_effective(torch.zeros_like(block.kernel.raw))
    x = torch.randn(1, 2, 6, 7, 7)
    assert torch.equal(block(x), x[:, :, 2:, 1:-1, 1:-1])


def test_gru_is_a_gru():
    """On one pixel with 1x1 kernels it computes what torch.nn.GRU computes, gate for gate."""
    stage = ConvGRUStage(ConvGRU(hidden=4, kernel=1, warmup=1), 3)
    reference = torch.nn.GRU(3, 4, batch_first=True)
    update, reset, new = range(3)
    order = [reset, update, new]  # torch stacks (reset, update, new)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(torch.cat([stage.input_conv.weight[:, :, 0, 0].chunk(3)[i] for i in order]))
        reference.weight_hh_l0.copy_(torch.cat([stage.state_weight[:, :, 0, 0].chunk(3)[i] for i in order]))
        reference.bias_ih_l0.copy_(torch.cat([stage.input_conv.bias.chunk(3)[i] for i in order]))
        reference.bias_hh_l0.zero_()
    x = torch.randn(2, 3, 6, 1, 1)
    normed = stage.norm(x)[..., 0, 0].transpose(1, 2)
    expected, _ = reference(normed)
    got = stage(x)
    assert torch.equal(got[:, :3], x[:, :, 1:])
    assert torch.allclose(got[:, 3:, :, 0, 0].transpose(1, 2), expected[:, 1:], atol=1e-6)


def test_a13_every_gate_of_the_gru_learns():
    stage = ConvGRUStage(ConvGRU(hidden=4, kernel=3, warmup=1), 3)
    stage(torch.randn(1, 3, 5, 6, 6)).square().sum().backward()
    for gate in stage.state_weight.grad.chunk(3):
        assert float(gate.abs().sum()) > 0


def test_units_of_the_recurrent_stage_move():
    """On strongly scaled input (which saturated an unnormalised prototype) the state changes from frame to frame."""
    stage = ConvGRUStage(ConvGRU(hidden=8, kernel=3, warmup=4), 5)
    state = stage(100 * torch.randn(2, 5, 40, 6, 6))[:, 5:]
    assert float(state.detach().std(dim=2).mean()) > 0.1
    assert float((state.abs() > 0.99).float().mean()) < 0.1


def test_readout_reads_the_pixel_under_a_narrow_mask():
    readout = GaussianMaskReadout(GaussianReadout(init_std=0.3), 3, 2, 9)
    x = torch.randn(2, 3, 4, 9, 9)
    with torch.no_grad():
        readout.mean.copy_(torch.tensor([[-2.0, 3.0], [0.0, 0.0]]))
        got = readout(x) - readout.bias
        expected = torch.einsum("nclu,uc->nlu", torch.stack([x[..., 2, 7], x[..., 4, 4]], dim=-1), readout.features)
    assert torch.allclose(got, expected, atol=0.02)


def test_readout_is_the_masked_sum():
    readout = GaussianMaskReadout(GaussianReadout(), 3, 4, 7)
    with torch.no_grad():
        readout.mean.normal_()
        readout.theta.normal_()
        readout.std.copy_(torch.rand(4, 2) + 0.5)
    x = torch.randn(2, 3, 5, 7, 7)
    masks = readout.masks().view(4, 7, 7)
    expected = torch.einsum("nclyx,uyx,uc->nlu", x, masks, readout.features) + readout.bias
    assert torch.allclose(masks.sum((1, 2)), torch.ones(4), atol=1e-5)
    assert torch.allclose(readout(x), expected, atol=1e-5)
