"""The old stimulus alignment: a blur one tap too long and off its centre, then resampling by scale or affine map."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import AdapterParams

NO_BLUR = 1e-3
ANTIALIAS = 0.44


def even_gaussian(sigma: float) -> tuple[Tensor, int]:
    """The blur's taps, and the zeros added on both sides.

    ``k = round(6 sigma) | 1`` is odd, but ``k + 1`` taps from ``-(k + 1) / 2`` to ``(k - 1) / 2`` are taken: the
    heaviest lies half a kernel too far, and the image loses a row and a column (defect A14).
    """
    k = round(6 * sigma) | 1
    taps = torch.exp(-0.5 * (torch.arange(-(k + 1) // 2, (k - 1) // 2 + 1) / sigma) ** 2)
    return taps / taps.sum(), k // 2


def blur_matrix(size: int, sigma: float) -> Tensor:
    """The blur of ``size`` pixels as a matrix ``(size - 1, size)``; the identity where sigma is next to nothing."""
    if sigma < NO_BLUR:
        return torch.eye(size)
    taps, padding = even_gaussian(sigma)
    offset = torch.arange(size)[None] + padding - torch.arange(size - 1)[:, None]
    inside = (offset >= 0) & (offset < len(taps))
    return torch.where(inside, taps[offset.clamp(0, len(taps) - 1)], torch.zeros(()))


class OldAdapter(nn.Module):
    """``(n, C, T, H, W)`` to ``(n, C, T, grid, grid)``, frame by frame.

    ``log_scale`` ``(2,)``, as (x, y), is the softplus inverse of the part of the image that the grid spans, ``affine``
    ``(2, 3)`` a map of (x, y); ``log_sigma`` the softplus inverse of the blur's width. Old code read the width as a
    number, so ``log_sigma`` never learned (defect A14), and takes no gradient here.
    """

    def __init__(self, params: AdapterParams) -> None:
        super().__init__()
        self.grid = params.grid_size
        self.log_sigma = nn.Parameter(torch.tensor(math.log(math.expm1(params.init_sigma))), requires_grad=False)
        if params.transform == "scale":
            self.log_scale = nn.Parameter(torch.zeros(2))
        else:
            self.affine = nn.Parameter(torch.eye(2, 3))
        self.scales = params.transform == "scale"

    @torch.no_grad()
    def sigma(self) -> float:
        """Width of the blur in source pixels: the stored one, and what minification needs against aliasing."""
        smallest = F.softplus(self.log_scale).min() if self.scales else torch.linalg.svdvals(self.affine[:, :2]).min()
        s = float(smallest)
        needed = 0.0 if s >= 1 else ANTIALIAS * (1 / s - 1)
        return math.sqrt(needed**2 + float(F.softplus(self.log_sigma)) ** 2)

    def span(self) -> Tensor:
        """The part of the image, as (y, x), that the grid spans along each axis."""
        return F.softplus(self.log_scale).flip(0) if self.scales else self.affine[:, :2].norm(dim=1).flip(0)

    def _resampling(self, scale: Tensor, size: int) -> Tensor:
        """Linear interpolation at the grid's points as a matrix ``(grid, size)``; beyond the image lies zero."""
        base = torch.linspace(-1, 1, self.grid, device=scale.device)
        position = (base * scale + 1) / 2 * (size - 1)
        pixels = torch.arange(size, device=scale.device)
        return F.relu(1 - (position[:, None] - pixels).abs())

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        sigma = self.sigma()
        rows = blur_matrix(height, sigma).to(x)
        columns = blur_matrix(width, sigma).to(x)
        if self.scales:
            scale = F.softplus(self.log_scale)
            rows = self._resampling(scale[1], len(rows)).to(x) @ rows
            columns = self._resampling(scale[0], len(columns)).to(x) @ columns
            return rows @ (x @ columns.t())
        blurred = (rows @ (x @ columns.t())).flatten(0, 2)[None]
        points = F.affine_grid(self.affine[None], [1, 1, self.grid, self.grid], align_corners=True)
        sampled = F.grid_sample(blurred, points, mode="bilinear", padding_mode="zeros", align_corners=True)
        return sampled.view(*x.shape[:3], self.grid, self.grid)
