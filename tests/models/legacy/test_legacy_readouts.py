"""Readouts of old models against the formulas of the legacy specification (section 3.6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vctrain.config.legacy_parts import GaussianParams, LegacyTwoMasks, LinearParams, TwoMaskParams
from vctrain.errors import UsageError
from vctrain.models.legacy.readouts import MaskReadout, MeanReadout, TwoMaskReadout, build_readout

X = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
UNITS = 4


def stirred(module: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return module.eval()


def by_loops(frame: Tensor, weight: Tensor, mean: Tensor, std: Tensor, theta: Tensor) -> np.ndarray:
    """``sum_hw mask_u (sum_c W_uc x_c)``, pixel by pixel."""
    n, channels, height, width = frame.shape
    out = np.zeros((n, len(mean)))
    for u in range(len(mean)):
        mask = np.zeros((height, width))
        for i in range(height):
            for j in range(width):
                dy, dx = i - (height - 1) / 2 - mean[u, 0].item(), j - (width - 1) / 2 - mean[u, 1].item()
                cos, sin = math.cos(theta[u].item()), math.sin(theta[u].item())
                ry, rx = dy * cos + dx * sin, -dy * sin + dx * cos
                sy, sx = max(std[u, 0].item(), 1e-3), max(std[u, 1].item(), 1e-3)
                mask[i, j] = math.exp(-0.5 * ((ry / sy) ** 2 + (rx / sx) ** 2))
        mask /= mask.sum() + 1e-8
        for c in range(channels):
            out[:, u] += weight[u, c, 0, 0].item() * (frame[:, c].numpy() * mask).sum((1, 2))
    return out


@pytest.mark.parametrize("bias", [True, False])
def test_gaussian_reads_the_oldest_frame(bias: bool) -> None:
    readout = stirred(MaskReadout(GaussianParams(bias=bias, initial_std=1.2, initial_mean_scale=0.5), 3, UNITS))
    assert isinstance(readout, MaskReadout)
    expected = by_loops(X[:, :, -1], readout.features.weight, readout.mean, readout.std, readout.theta)
    expected = expected + (readout.bias.detach().numpy() if readout.bias is not None else 0)
    np.testing.assert_allclose(readout(X).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(readout(X[:, :, -1]), readout(X))
    names = {"mean", "std", "theta", "features.weight"} | ({"bias"} if bias else set())
    assert set(readout.state_dict()) == names


def test_linear_reads_the_mean_over_space() -> None:
    readout = stirred(MeanReadout(LinearParams(), 3, UNITS))
    weight, bias = readout.get_parameter("fc.weight"), readout.get_parameter("fc.bias")
    torch.testing.assert_close(readout(X), F.linear(X[:, :, -1].mean((2, 3)), weight, bias))
    assert set(readout.state_dict()) == {"fc.weight", "fc.bias"}


def test_two_masks_start() -> None:
    readout = TwoMaskReadout(TwoMaskParams(), 3, UNITS, divisive=False)
    torch.testing.assert_close(readout.get_parameter("_features_ex_weight").flatten(1).norm(dim=1), torch.ones(UNITS))
    assert torch.equal(readout.get_parameter("std_inh"), torch.full((UNITS, 2), 6.0))
    divisive = TwoMaskReadout(TwoMaskParams(), 3, UNITS, divisive=True)
    torch.testing.assert_close(
        divisive.get_parameter("_features_ex_weight").flatten(1).norm(dim=1), torch.full((UNITS,), 10.0)
    )
    assert torch.equal(divisive.get_parameter("bias"), torch.full((UNITS,), -5.0))


CONSTRAINTS = {None: F.relu, "relu": F.relu, "softplus": F.softplus, "abs": torch.abs, "square": torch.square}


@pytest.mark.parametrize("kind", ["gaussianei", "gaussiansn"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_two_masks(kind: str, constraint: str | None) -> None:
    params = TwoMaskParams(initial_std_ex=1.0, initial_std_inh=2.0, weight_constraint_fn=constraint)
    readout = stirred(build_readout(LegacyTwoMasks(type=kind, params=params), 3, UNITS))  # type: ignore[arg-type]
    sides = []
    for side in ("ex", "inh"):
        weight = CONSTRAINTS[constraint](readout.get_parameter(f"_features_{side}_weight").detach())
        shape = [readout.get_parameter(f"{name}_{side}").detach() for name in ("mean", "std", "theta")]
        sides.append(by_loops(X[:, :, -1], weight, *shape))
    bias = readout.get_parameter("bias").detach().numpy()
    if kind == "gaussianei":
        expected = sides[0] - sides[1] + bias
    else:
        beta = math.log1p(math.exp(readout.get_parameter("_beta_raw").item()))
        expected = sides[0] / (beta + 1e-4 + np.abs(sides[1]) + 1e-6) + bias
        assert {"_beta_floor", "_sigma_floor", "_eps", "_beta_raw", "_sigma_raw"} <= set(readout.state_dict())
    np.testing.assert_allclose(readout(X).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_stochastic_normalisation_is_noisy_in_training_only() -> None:
    readout = TwoMaskReadout(TwoMaskParams(), 3, UNITS, divisive=True)
    torch.testing.assert_close(readout.eval()(X), readout(X))
    noisy = readout.train()(X)
    assert not torch.allclose(noisy, readout(X))
    noisy.sum().backward()
    assert all(parameter.grad is not None for parameter in readout.parameters())


def test_a_weight_constraint_without_a_name() -> None:
    with pytest.raises(UsageError, match="no activation 'system'"):
        TwoMaskReadout(TwoMaskParams(weight_constraint_fn="system"), 3, UNITS, divisive=False)
