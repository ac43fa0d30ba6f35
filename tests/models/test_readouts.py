"""How units read the map: every readout against the sum it stands for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vctrain.config.components.readouts import GaussianEIReadout, GaussianReadout, GaussianSNReadout, LinearReadout
from vctrain.models.components import build
from vctrain.models.geometry import Geometry, Space
from vctrain.models.readout import MIN_STD, GaussianMaskReadout, gaussian_masks, masks_of, pixel_grid
from vctrain.models.readout_opposed import LEAST, DifferenceReadout, RatioReadout

SPACE = Space(3, Geometry(7))
UNITS = 4
CONFIGS = [
    GaussianReadout(),
    GaussianEIReadout(),
    GaussianEIReadout(constraint="softplus"),
    GaussianSNReadout(),
    LinearReadout(),
]
NAMES = ["gaussian", "gaussianei", "gaussianei_softplus", "gaussiansn", "linear"]


def made(config):
    """A readout with every parameter away from its special starting value."""
    torch.manual_seed(0)
    readout = build(config, SPACE, UNITS)
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return readout


def pooled(pool, weights, x):
    masks = gaussian_masks(pool.grid, pool.mean, pool.std, pool.theta).view(UNITS, 7, 7)
    assert torch.allclose(masks.sum((1, 2)), torch.ones(UNITS), atol=1e-5)
    return torch.einsum("nclyx,uyx,uc->nlu", x, masks, weights)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_drives_have_one_column_a_unit_and_every_parameter_learns(config) -> None:
    readout = made(config)
    drive = readout(torch.randn(2, 3, 5, 7, 7).abs())
    assert drive.shape == (2, 5, UNITS)
    (drive * torch.randn_like(drive)).sum().backward()
    assert [n for n, p in readout.named_parameters() if p.grad is None or not float(p.grad.abs().sum()) > 0] == []


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_without_bias_there_is_none(config) -> None:
    assert build(config.model_copy(update={"bias": False}), SPACE, UNITS).bias is None


def test_the_gaussian_readout_is_the_masked_sum() -> None:
    readout = made(GaussianReadout())
    x = torch.randn(2, 3, 5, 7, 7)
    assert torch.allclose(readout(x), pooled(readout, readout.features, x) + readout.bias, atol=1e-5)


def test_a_narrow_mask_reads_the_pixel_under_it() -> None:
    readout = GaussianMaskReadout(GaussianReadout(init_std=0.3), Space(3, Geometry(9)), 2)
    x = torch.randn(2, 3, 4, 9, 9)
    with torch.no_grad():
        readout.mean.copy_(torch.tensor([[-2.0, 3.0], [0.0, 0.0]]))
        expected = torch.einsum("nclu,uc->nlu", torch.stack([x[..., 2, 7], x[..., 4, 4]], dim=-1), readout.features)
        assert torch.allclose(readout(x) - readout.bias, expected, atol=0.02)


def test_masks_turn() -> None:
    """A mask that is long in y, turned by a right angle, is long in x."""
    grid, std = pixel_grid(9), torch.tensor([[3.0, 0.8]])
    upright = gaussian_masks(grid, torch.zeros(1, 2), std, torch.zeros(1)).view(9, 9)
    turned = gaussian_masks(grid, torch.zeros(1, 2), std, torch.full((1,), torch.pi / 2)).view(9, 9)
    assert torch.allclose(upright.t(), turned, atol=1e-6)
    assert upright[0, 4] > 10 * upright[4, 0]


@pytest.mark.parametrize("constraint", ["relu", "softplus"])
def test_gaussianei_is_excitation_less_inhibition_with_weights_of_one_sign(constraint) -> None:
    readout = made(GaussianEIReadout(constraint=constraint))
    with torch.no_grad():
        readout.excitatory.features[0, 0] = -3.0
    make = F.relu if constraint == "relu" else F.softplus
    x = torch.randn(2, 3, 5, 7, 7)
    excitation = pooled(readout.excitatory, make(readout.excitatory.features), x)
    inhibition = pooled(readout.inhibitory, make(readout.inhibitory.features), x)
    assert torch.allclose(readout(x), excitation - inhibition + readout.bias, atol=1e-5)
    more = x.abs() + 1
    assert bool((readout.excitatory(more) >= readout.excitatory(x.abs())).all())


@pytest.mark.parametrize("constraint", ["relu", "softplus"])
def test_channel_weights_start_small_and_positive(constraint) -> None:
    readout = DifferenceReadout(GaussianEIReadout(constraint=constraint), SPACE, UNITS).requires_grad_(False)
    for pool, std in ((readout.excitatory, 2.0), (readout.inhibitory, 3.0)):
        assert float(pool.weights().min()) > 0
        assert torch.allclose(pool.weights().norm(dim=1), torch.full((UNITS,), 0.1), atol=1e-4)
        assert pool.std.eq(std).all()


def test_gaussiansn_divides_and_is_noisy_in_training_only() -> None:
    readout = made(GaussianSNReadout(init_beta=0.5, init_noise=0.2))
    x = torch.randn(2, 3, 5, 7, 7)
    beta = LEAST + F.softplus(readout.raw_beta)
    excitation = pooled(readout.excitatory, F.relu(readout.excitatory.features), x)
    inhibition = pooled(readout.inhibitory, F.relu(readout.inhibitory.features), x)
    expected = excitation / (beta + inhibition.abs()) + readout.bias
    assert torch.allclose(readout.eval()(x), expected, atol=1e-5)
    assert torch.equal(readout(x), readout(x))
    readout.train()
    assert not torch.equal(readout(x), readout(x))
    with torch.no_grad():
        divisor = excitation / (readout(x) - readout.bias)
        spread = (divisor - beta - inhibition.abs()).std()
    assert float(spread) == pytest.approx(0.2, rel=0.5)


def test_noise_at_most_halves_the_divisor_of_gaussiansn() -> None:
    readout = RatioReadout(GaussianSNReadout(init_beta=0.01, init_noise=5.0), SPACE, UNITS).requires_grad_(False)
    x = torch.rand(4, 3, 50, 7, 7)
    noisy, quiet = readout(x), readout.eval()(x)
    assert float(noisy.min()) >= 0
    assert float((noisy / quiet).max()) == pytest.approx(2.0, abs=1e-3)
    assert float((noisy / quiet).min()) < 0.1


def test_the_linear_readout_has_no_place() -> None:
    readout = made(LinearReadout())
    x = torch.randn(2, 3, 5, 7, 7)
    expected = torch.einsum("ncl,uc->nlu", x.mean((3, 4)), readout.features) + readout.bias
    assert torch.allclose(readout(x), expected, atol=1e-6)
    assert readout.centres == ()


def test_masks_of_all_readouts_together_are_those_of_each_alone() -> None:
    readouts = [made(config) for config in CONFIGS]
    x = torch.randn(2, 3, 5, 7, 7)
    for readout, masks in zip(readouts, masks_of(readouts), strict=True):
        assert len(masks) == len(readout.places)
        torch.manual_seed(1)
        alone = readout(x)
        torch.manual_seed(1)
        torch.testing.assert_close(readout(x, masks=masks), alone, rtol=1e-6, atol=1e-7)


def test_round_masks_do_not_turn() -> None:
    """What no turn changes has a gradient of exactly 0, not one of rounding, which AdamW would make as large as any."""
    mean = torch.tensor([[0.3, -1.2], [2.0, 0.7]])
    theta = torch.tensor([0.4, -1.1], requires_grad=True)
    weights = torch.randn(2, 81, generator=torch.Generator().manual_seed(0))
    for std, turns in ((torch.tensor([[1.7, 1.7], [0.9, 0.9]]), False), (torch.tensor([[1.7, 1.6], [0.9, 2.0]]), True)):
        theta.grad = None
        (gaussian_masks(pixel_grid(9), mean, std, theta) * weights).sum().backward()
        assert (theta.grad != 0).tolist() == [turns, turns]


@pytest.mark.parametrize("std", [[1.5, 1.5], [0.6, 4.0], [4.0, 0.6], [MIN_STD, 9.0]])
def test_masks_are_rotated_gaussians(std: list[float]) -> None:
    """By the definition, in float64."""
    grid, theta, mean = pixel_grid(9).double(), torch.tensor([0.7], dtype=torch.float64), torch.tensor([[0.4, -0.9]])
    y, x = (grid - mean.double()).unbind(-1)
    along, across = y * theta.cos() + x * theta.sin(), x * theta.cos() - y * theta.sin()
    expected = torch.softmax(-0.5 * ((along / std[0]).square() + (across / std[1]).square()), dim=0)
    found = gaussian_masks(pixel_grid(9), mean, torch.tensor([std]), theta.float())[0]
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=1e-7)
