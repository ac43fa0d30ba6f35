"""How units read the shared features: where, under a Gaussian mask or everywhere, and which channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from vctrain.config.components.readouts import GaussianReadout, LinearReadout
from vctrain.models.geometry import Space
from vctrain.models.history import SpikeHistory
from vctrain.models.output import PositiveBaseline
from vctrain.models.registry import builds

MIN_STD = 0.3
"""Narrower masks (in feature-map pixels) fall between pixels and lose their gradient."""
START = 0.1
"""Norm of a unit's channel weights at the start."""


class Placed(Protocol):
    """What has one Gaussian mask a unit: parameters as in `GaussianMaskReadout`."""

    mean: nn.Parameter
    std: nn.Parameter
    theta: nn.Parameter
    grid: Tensor


class Readout(nn.Module):
    """What a session owns on the side of its units: features ``(n, C, L, H, W)`` to drives ``(n, L, U)``.

    Subclasses give `read`; the bias of each unit, and where the twin has them the spike history (added to the drive)
    and the baseline (added to the rate) are here.
    """

    def __init__(self, units: int, bias: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(units)) if bias else None
        self.history: SpikeHistory | None = None
        self.baseline: PositiveBaseline | None = None

    @property
    def places(self) -> tuple[Placed, ...]:
        """Where its masks lie; nothing for a readout without place."""
        return ()

    @property
    def centres(self) -> tuple[nn.Parameter, ...]:
        """Centres ``(U, 2)`` of the masks, (y, x) in feature-map pixels from the map's centre; none for a readout
        without place."""
        return tuple(place.mean for place in self.places)

    def read(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Drives without bias and history, ``(n, L, U)``, under the masks ``(U, H*W)`` of its `places`."""
        raise AssertionError(f"{type(self).__name__} does not say how it reads")

    def forward(self, x: Tensor, counts: Tensor | None = None, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Drives; ``counts`` ``(n, R + L, U)`` are those of the L frames and of the R before them, ``masks`` its own of
        `masks_of` where they were computed with those of others."""
        drive = self.read(x, masks_of([self])[0] if masks is None else masks)
        if self.bias is not None:
            drive = drive + self.bias
        if self.history is not None:
            if counts is None:
                raise ValueError("clips without the counts of past frames reached a twin that reads them")
            drive = drive + self.history(counts)
        return drive


def pixel_grid(size: int) -> Tensor:
    """Pixels of a map as (y, x) from its centre, ``(size * size, 2)``."""
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)


def gaussian_masks(grid: Tensor, mean: Tensor, std: Tensor, theta: Tensor) -> Tensor:
    """Gaussian masks over the pixels of ``grid``, each of sum 1; ``(U, H*W)``.

    The inverse squared width that both axes have in common applies to the distance, which does not turn; only the rest
    turns with ``theta``. So a round mask, which no turn changes, gives ``theta`` a gradient of exactly 0, and not what
    rounding leaves, which AdamW would make as large as any other.
    """
    y, x = (grid[None] - mean[:, None]).unbind(-1)
    cos, sin = torch.cos(theta)[:, None], torch.sin(theta)[:, None]
    sharp = std.abs().clamp_min(MIN_STD).pow(-2)
    common = sharp.amin(1, keepdim=True)
    along, across = (sharp - common).split(1, dim=1)
    turned = (y * cos + x * sin).square() * along + (x * cos - y * sin).square() * across
    return torch.softmax(-0.5 * ((y.square() + x.square()) * common + turned), dim=1)


def masks_of(readouts: Sequence[Readout]) -> list[list[Tensor]]:
    """The normalised masks ``(U, H*W)`` of the places of each readout on one map, all computed together."""
    places = [place for readout in readouts for place in readout.places]
    if not places:
        return [[] for _ in readouts]
    mean, std, theta = (torch.cat([getattr(p, name) for p in places]) for name in ("mean", "std", "theta"))
    masks = iter(gaussian_masks(places[0].grid, mean, std, theta).split([len(p.mean) for p in places]))
    return [[next(masks) for _ in readout.places] for readout in readouts]


def read_under(masks: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """``sum_c weights[u, c] * sum_yx masks[u, y, x] * x[c, y, x]`` of each frame, ``(n, L, U)``."""
    n, channels, frames, height, width = x.shape
    # Channels last in memory: one product over space for all frames, then the channel sum.
    flat = x.permute(0, 2, 3, 4, 1).reshape(n * frames, height * width, channels)
    pooled = torch.matmul(masks.to(flat.dtype), flat)
    return (pooled * weights.to(pooled.dtype)).sum(-1).view(n, frames, -1)


@builds(GaussianReadout)
class GaussianMaskReadout(Readout):
    """``sum_c w[u, c] * sum_yx mask[u, y, x] * x[c, y, x] + bias[u]``.

    ``mean`` ``(U, 2)`` is the mask's centre as (y, x) in feature-map pixels from the map's centre, ``std`` ``(U, 2)``
    its widths along its own axes, ``theta`` ``(U,)`` their rotation in radians, ``features`` ``(U, C)`` the channel
    weights. Masks sum to 1.
    """

    grid: Tensor

    def __init__(self, config: GaussianReadout, space: Space, units: int) -> None:
        super().__init__(units, config.bias)
        self.mean = nn.Parameter(torch.zeros(units, 2))
        self.std = nn.Parameter(torch.full((units, 2), config.init_std))
        self.theta = nn.Parameter(torch.zeros(units))
        self.features = nn.Parameter(torch.randn(units, space.channels) * START / space.channels**0.5)
        self.register_buffer("grid", pixel_grid(space.geometry.size), persistent=False)

    @property
    def places(self) -> tuple[Placed, ...]:
        return (self,)

    def read(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        return read_under(masks[0], self.features, x)


@builds(LinearReadout)
class PooledReadout(Readout):
    """``sum_c w[u, c] * mean_yx x[c, y, x] + bias[u]``: no unit has a place."""

    def __init__(self, config: LinearReadout, space: Space, units: int) -> None:
        super().__init__(units, config.bias)
        self.features = nn.Parameter(torch.randn(units, space.channels) * START / space.channels**0.5)

    def read(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        pooled = x.mean((3, 4)).transpose(1, 2)
        return pooled @ self.features.to(pooled.dtype).t()
