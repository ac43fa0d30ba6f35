"""How units read the shared features: a Gaussian mask over space, a weight for each channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.components.readouts import GaussianReadout

MIN_STD = 0.3
"""Narrower masks (in feature-map pixels) fall between pixels and lose their gradient."""


class GaussianMaskReadout(nn.Module):
    """``(n, C, L, H, W)`` to ``(n, L, U)``: ``sum_c w[u, c] * sum_yx mask[u, y, x] * x[c, y, x] + bias[u]``.

    ``mean`` ``(U, 2)`` is the mask's centre as (y, x) in feature-map pixels from the map's centre, ``std`` ``(U, 2)``
    its widths along its own axes, ``theta`` ``(U,)`` their rotation in radians, ``features`` ``(U, C)`` the channel
    weights. Masks sum to 1.
    """

    grid: Tensor

    def __init__(self, config: GaussianReadout, channels: int, units: int, size: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(units, 2))
        self.std = nn.Parameter(torch.full((units, 2), config.init_std))
        self.theta = nn.Parameter(torch.zeros(units))
        self.features = nn.Parameter(torch.randn(units, channels) * 0.1 / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(units)) if config.bias else None
        axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
        self.register_buffer("grid", grid, persistent=False)

    def masks(self) -> Tensor:
        """The normalised masks ``(U, H*W)``."""
        offset = self.grid[None] - self.mean[:, None]
        cos, sin = torch.cos(self.theta)[:, None], torch.sin(self.theta)[:, None]
        std = self.std.abs().clamp_min(MIN_STD)
        along = (offset[..., 0] * cos + offset[..., 1] * sin) / std[:, :1]
        across = (offset[..., 1] * cos - offset[..., 0] * sin) / std[:, 1:]
        return torch.softmax(-0.5 * (along.square() + across.square()), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        n, channels, frames, height, width = x.shape
        masks = self.masks()
        # Channels last in memory: one product over space for all frames, then the channel sum.
        flat = x.permute(0, 2, 3, 4, 1).reshape(n * frames, height * width, channels)
        pooled = torch.matmul(masks.to(flat.dtype), flat)
        y = (pooled * self.features.to(pooled.dtype)).sum(-1).view(n, frames, -1)
        return y if self.bias is None else y + self.bias
