"""The old adapter does what the legacy specification says of it (section 3.1, defect A14), and the current one not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vctrain.config.components.adapters import AffineAdapter
from vctrain.config.legacy_parts import AdapterParams
from vctrain.models.adapter import SessionAdapter
from vctrain.models.legacy.adapter import OldAdapter, blur_matrix


def directly(x: Tensor, sigma: float, points: Tensor) -> Tensor:
    """Section 3.1, step by step: two passes of an even kernel over zero padding, then `grid_sample`."""
    k = round(6 * sigma) | 1
    taps = torch.arange(-k // 2, k // 2 + 1)
    weights = torch.exp(-0.5 * (taps / sigma) ** 2)
    weights = weights / weights.sum()
    n, channels, frames, height, width = x.shape
    images = x.reshape(-1, 1, height, width)
    images = F.conv2d(images, weights.view(1, 1, -1, 1), padding=(k // 2, 0))
    images = F.conv2d(images, weights.view(1, 1, 1, -1), padding=(0, k // 2))
    assert images.shape[-2:] == (height - 1, width - 1)
    stack = images.view(n * channels, frames, height - 1, width - 1)
    sampled = F.grid_sample(stack, points.expand(len(stack), -1, -1, -1), align_corners=True)
    return sampled.view(n, channels, frames, *points.shape[1:3])


@pytest.mark.parametrize("log_scale", [(0.0, 0.0), (0.9, -0.4), (-1.5, 0.3)])
@pytest.mark.parametrize("init_sigma", [0.3, 1.0, 2.5])
def test_scale(log_scale: tuple[float, float], init_sigma: float) -> None:
    adapter = OldAdapter(AdapterParams(grid_size=9, init_sigma=init_sigma))
    with torch.no_grad():
        adapter.log_scale.copy_(torch.tensor(log_scale))
    x = torch.randn(2, 1, 3, 14, 17)
    scale = F.softplus(torch.tensor(log_scale))
    smallest = float(scale.min())
    sigma = math.hypot(0.0 if smallest >= 1 else 0.44 * (1 / smallest - 1), init_sigma)
    base = torch.linspace(-1, 1, 9)
    y, x_axis = torch.meshgrid(base, base, indexing="ij")
    points = torch.stack([x_axis * scale[0], y * scale[1]], dim=-1)[None]
    torch.testing.assert_close(adapter(x), directly(x, sigma, points), rtol=1e-5, atol=1e-6)


def test_affine() -> None:
    adapter = OldAdapter(AdapterParams(grid_size=8, transform="affine"))
    with torch.no_grad():
        adapter.affine.copy_(torch.tensor([[0.7, 0.2, 0.1], [-0.1, 1.2, -0.2]]))
    x = torch.randn(2, 2, 3, 12, 12)
    smallest = float(torch.linalg.svdvals(adapter.affine.detach()[:, :2])[-1])
    sigma = math.hypot(0.44 * (1 / smallest - 1), 1.0)
    points = F.affine_grid(adapter.affine.detach()[None], [1, 1, 8, 8], align_corners=True)
    torch.testing.assert_close(adapter(x), directly(x, sigma, points), rtol=1e-5, atol=1e-6)
    assert adapter(x).shape == (2, 2, 3, 8, 8)


def test_a14_blur_is_off_centre_here_and_only_here() -> None:
    impulse = torch.zeros(11)
    impulse[5] = 1
    blurred = blur_matrix(11, 1.0) @ impulse
    assert blurred.shape == (10,)
    assert float((torch.arange(10) * blurred).sum() / blurred.sum()) == pytest.approx(4.0, abs=0.01)
    current = SessionAdapter(AffineAdapter(grid_size=11, init_sigma=1.0), 11)
    image = torch.zeros(1, 1, 11, 11)
    image[..., 5, 5] = 1
    column = current(image)[0, 0].sum(1).detach()
    assert float((torch.arange(11) * column).sum() / column.sum()) == pytest.approx(5.0, abs=1e-4)


def test_a_narrow_blur_is_left_out() -> None:
    assert torch.equal(blur_matrix(5, 1e-4), torch.eye(5))


def test_a14_the_width_takes_no_gradient_and_the_scale_does() -> None:
    adapter = OldAdapter(AdapterParams(grid_size=7))
    adapter(torch.randn(1, 1, 2, 9, 9)).square().sum().backward()
    assert adapter.log_sigma.grad is None
    assert not adapter.log_sigma.requires_grad
    assert adapter.log_scale.grad is not None
    assert bool((adapter.log_scale.grad != 0).all())
    assert float(adapter.span()[0].detach()) == pytest.approx(math.log(2))  # the grid starts on the central 69 %
