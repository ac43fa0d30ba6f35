"""How a session's stimulus is brought onto the core's grid: blur, scale and shift, or a full affine map."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def contrasts(parts: Sequence[SessionClips]) -> list[Tensor]:
    """The `contrast` of each part; grey values of one size are normalised together."""
    stims = [part.stim for part in parts if part.stim is not None and part.levels is None]
    if len(stims) < len(parts) or len({(x.shape[1:], x.dtype) for x in stims}) > 1 or stims[0].is_floating_point():
        return [contrast(part) for part in parts]
    together = stims[0] if len(stims) == 1 else torch.cat(stims)
    return list(normalise(together).split([len(x) for x in stims]))


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


def blur_width(step: Tensor, learned: Tensor) -> Tensor:
    """Blur in source pixels: the learned one, and what a grid of this ``step`` needs against aliasing."""
    needed = ANTIALIAS * F.relu(step - 1.0)
    return torch.sqrt(needed.square() + learned.square())


def resampling(scale: Tensor, shift: Tensor, learned: Tensor, grid: int, size: int) -> Tensor:
    """Matrices ``(S, grid, size)`` that blur and resample one axis of the movies of S sessions, each of ``scale``,
    ``shift`` and learned blur ``(S,)``."""
    half = (size - 1) / 2
    base = torch.linspace(-1.0, 1.0, grid, device=scale.device)
    position = half * (1.0 + scale[:, None] * base + shift[:, None])
    step = scale.abs() * (size - 1) / max(grid - 1, 1)
    pixel = torch.arange(size, device=scale.device, dtype=position.dtype)
    return blurred_hat(position[:, :, None] - pixel, blur_width(step, learned)[:, None, None])


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
        return blur_width(
            step, F.softplus(self.log_sigma) if self.log_sigma is not None else torch.full_like(step, SHARP)
        )

    def forward(self, contrast: Tensor) -> Tensor:
        if self.shear is None:
            return adapted([self], [contrast])[0]
        return self._affine(contrast)

    def _affine(self, contrast: Tensor) -> Tensor:
        """The general map is not separable: blur on the pixel grid, then sample bilinearly."""
        assert self.shear is not None
        n, frames, height, width = contrast.shape
        size = torch.tensor([height - 1, width - 1], dtype=self.scale.dtype).to(contrast.device, non_blocking=True)
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


def adapted(adapters: Sequence[nn.Module], movies: Sequence[Tensor]) -> list[Tensor]:
    """What each adapter makes of its movie ``(n, T, H, W)``.

    The matrices of all separable ones for movies of one size are computed together: for twenty sessions with the
    operators of one.
    """
    results = list(movies)
    alike: dict[tuple[int, int, int, bool], list[int]] = {}
    for i, (adapter, movie) in enumerate(zip(adapters, movies, strict=True)):
        if isinstance(adapter, SessionAdapter) and adapter.shear is None:
            size = adapter.grid, movie.shape[2], movie.shape[3], adapter.log_sigma is not None
            alike.setdefault(size, []).append(i)
        else:
            results[i] = adapter(movie)
    for (grid, height, width, _), members in alike.items():
        own = [adapter for i in members if isinstance(adapter := adapters[i], SessionAdapter)]
        rows, columns = _matrices(own, grid, height, width)
        for i, row, column in zip(members, rows, columns, strict=True):
            x = movies[i]
            flat = (x.reshape(-1, width) @ column.to(x.dtype).t()).view(-1, height, grid)
            results[i] = (row.to(x.dtype) @ flat).view(*x.shape[:2], grid, grid)
    return results


def _matrices(
    adapters: Sequence[SessionAdapter], grid: int, height: int, width: int
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """For each session the matrices over rows ``(grid, height)`` and over columns ``(grid, width)``."""
    scale = torch.stack([adapter.scale for adapter in adapters])
    shift = torch.stack([adapter.shift for adapter in adapters])
    blurs: list[Tensor] = [adapter.log_sigma for adapter in adapters if adapter.log_sigma is not None]
    learned = F.softplus(torch.stack(blurs)) if blurs else scale.new_full((len(adapters),), SHARP)
    (scale_y, scale_x), (shift_y, shift_x) = scale.unbind(1), shift.unbind(1)
    rows = resampling(scale_y, shift_y, learned, grid, height)
    columns = resampling(scale_x, shift_x, learned, grid, width)
    return rows.unbind(), columns.unbind()
