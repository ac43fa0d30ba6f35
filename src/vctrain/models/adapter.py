"""How a session's stimulus is brought onto the core's grid: blur, scale and shift, or a full affine map."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.adapters import AffineAdapter
from vctrain.data.clips import SessionClips

MEAN_GREY = 127.0
GREY_RANGE = 255.0
ANTIALIAS = 0.44
"""Blur needed per unit of minification, in source pixels (legacy specification, section 3.1)."""

SHARP = 0.01
"""Blur width of an adapter without blur, in source pixels: linear interpolation to within a percent."""


def normalise(stim: Tensor) -> Tensor:
    """uint8 grey values to contrast: ``(x - 127) / 255``, so that padding with mean grey is padding with zero."""
    return (stim.float() - MEAN_GREY) / GREY_RANGE


def contrast(part: SessionClips) -> Tensor:
    """The movie of clips as twins take it, float32 ``(n, T, H, W)``: `normalise`, the session's own value for each
    grey level, or a computed movie as it is."""
    assert part.stim is not None
    if part.stim.is_floating_point():
        return part.stim
    if part.levels is None:
        return normalise(part.stim)
    return part.levels[part.stim.int()]


def blurred_hat(distance: Tensor, sigma: Tensor) -> Tensor:
    """Weight of a source pixel at ``distance`` pixels in linear interpolation followed by a Gaussian blur.

    The linear-interpolation hat is the second difference of a ramp; a ramp convolved with a Gaussian is
    ``x * Phi(x/sigma) + sigma * phi(x/sigma)``. The weights are therefore exact for any width, centred,
    differentiable in
    ``sigma``, and sum to one over an unbounded image; for ``sigma`` towards zero they become the hat itself.
    """

    def ramp(x: Tensor) -> Tensor:
        z = x / sigma
        return x * torch.special.ndtr(z) + sigma * torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

    return ramp(distance + 1) - 2 * ramp(distance) + ramp(distance - 1)


class SessionAdapter(nn.Module):
    """One session's alignment: ``(n, T, H, W)`` contrast to ``(n, T, grid, grid)`` on the core's grid.

    The grid spans the whole patch at the start (scale 1, shift 0; corners on corner pixels). Outside the patch is
    mean grey. Parameters: ``scale`` and ``shift`` as (y, x), in units of the half-width of the patch; ``log_sigma``,
    the softplus inverse of the blur's width in source pixels.
    """

    def __init__(self, config: AffineAdapter, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.scale = nn.Parameter(torch.ones(2))
        self.shift = nn.Parameter(torch.zeros(2))
        self.shear = nn.Parameter(torch.zeros(2)) if config.transform == "affine" else None
        floor = max(config.init_sigma, 0.05)
        self.log_sigma = nn.Parameter(torch.tensor(math.log(math.expm1(floor)))) if config.blur else None

    def _sigma(self, step: Tensor) -> Tensor:
        """Blur width in source pixels: the learned one, and what a grid of this ``step`` needs against aliasing."""
        needed = ANTIALIAS * F.relu(step - 1.0)
        learned = F.softplus(self.log_sigma) if self.log_sigma is not None else step.new_tensor(SHARP)
        return torch.sqrt(needed.square() + learned.square())

    def _resampling(self, axis: int, size: int) -> Tensor:
        """Matrix ``(grid, size)`` that blurs and resamples one axis (0 = y, 1 = x)."""
        half = (size - 1) / 2
        base = torch.linspace(-1.0, 1.0, self.grid, device=self.scale.device)
        position = half * (1.0 + self.scale[axis] * base + self.shift[axis])
        step = self.scale[axis].abs() * (size - 1) / max(self.grid - 1, 1)
        pixel = torch.arange(size, device=self.scale.device, dtype=position.dtype)
        return blurred_hat(position[:, None] - pixel[None, :], self._sigma(step))

    def forward(self, contrast: Tensor) -> Tensor:
        n, frames, height, width = contrast.shape
        if self.shear is None:
            rows = self._resampling(0, height).to(contrast.dtype)
            columns = self._resampling(1, width).to(contrast.dtype)
            flat = (contrast.reshape(-1, width) @ columns.t()).view(-1, height, self.grid)
            return (rows @ flat).view(n, frames, self.grid, self.grid)
        return self._affine(contrast)

    def _affine(self, contrast: Tensor) -> Tensor:
        """The general map is not separable: blur on the pixel grid, then sample bilinearly."""
        assert self.shear is not None
        n, frames, height, width = contrast.shape
        size = torch.tensor([height - 1, width - 1], device=contrast.device, dtype=self.scale.dtype)
        sigma = self._sigma((self.scale.abs() * size / max(self.grid - 1, 1)).max())

        def blur(length: int) -> Tensor:
            pixel = torch.arange(length, device=contrast.device, dtype=self.scale.dtype)
            return blurred_hat(pixel[:, None] - pixel[None, :], sigma)

        image = blur(height) @ contrast @ blur(width).t()
        # affine_grid takes (x, y) rows; our parameters are (y, x).
        theta = torch.stack(
            [
                torch.stack([self.scale[1], self.shear[1], self.shift[1]]),
                torch.stack([self.shear[0], self.scale[0], self.shift[0]]),
            ]
        )
        points = F.affine_grid(theta[None], [1, 1, self.grid, self.grid], align_corners=True)
        image = image.reshape(1, n * frames, height, width)
        sampled = F.grid_sample(image, points, mode="bilinear", padding_mode="zeros", align_corners=True)
        return sampled.view(n, frames, self.grid, self.grid)
