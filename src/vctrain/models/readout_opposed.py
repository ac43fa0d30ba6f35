"""How units read the shared features through excitation and inhibition: their difference, or their ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.readouts import GaussianEIReadout, GaussianSNReadout
from vctrain.models.geometry import Space
from vctrain.models.readout import START, Placed, Readout, gaussian_masks, pixel_grid, read_under
from vctrain.models.registry import builds

LEAST = 1e-4
"""What the divisor never falls below."""


class NonNegativePool(nn.Module):
    """One Gaussian mask a unit, with channel weights that cannot be negative; ``(n, C, L, H, W)`` to ``(n, L, U)``.

    ``mask`` ``(U, H*W)`` is its own, where it was computed with those of others. Parameters as in
    `GaussianMaskReadout`; the weight of a channel is ``relu`` or ``softplus`` of ``features``.
    """

    grid: Tensor

    def __init__(self, space: Space, units: int, init_std: float, constraint: str) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(units, 2))
        self.std = nn.Parameter(torch.full((units, 2), init_std))
        self.theta = nn.Parameter(torch.zeros(units))
        self.softly = constraint == "softplus"
        wanted = torch.rand(units, space.channels).clamp_min(1e-3)
        wanted = START * wanted / wanted.norm(dim=1, keepdim=True)
        self.features = nn.Parameter(wanted.expm1().log() if self.softly else wanted)
        self.register_buffer("grid", pixel_grid(space.geometry.size), persistent=False)

    def weights(self) -> Tensor:
        """Channel weights ``(U, C)``, none negative."""
        return F.softplus(self.features) if self.softly else F.relu(self.features)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        own = gaussian_masks(self.grid, self.mean, self.std, self.theta) if mask is None else mask
        return read_under(own, self.weights(), x)


class OpposedReadout(Readout):
    """An excitatory and an inhibitory pool of each unit."""

    def __init__(self, config: GaussianEIReadout | GaussianSNReadout, space: Space, units: int) -> None:
        super().__init__(units, config.bias)
        self.excitatory = NonNegativePool(space, units, config.init_std, config.constraint)
        self.inhibitory = NonNegativePool(space, units, config.init_std_inhibitory, config.constraint)

    @property
    def places(self) -> tuple[Placed, ...]:
        return self.excitatory, self.inhibitory


@builds(GaussianEIReadout)
class DifferenceReadout(OpposedReadout):
    """``excitation - inhibition + bias``."""

    def read(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        difference: Tensor = self.excitatory(x, masks[0]) - self.inhibitory(x, masks[1])
        return difference


@builds(GaussianSNReadout)
class RatioReadout(OpposedReadout):
    """``excitation / (beta + |inhibition| + noise) + bias``: divisive normalisation (Heeger 1992), stochastic in
    training.

    ``beta`` and the noise's standard deviation, of each unit, are softplus of ``raw_beta`` and ``raw_noise``. The noise
    is normal, drawn for every frame, and at most halves the divisor: one draw must not make a rate of thousands.
    """

    def __init__(self, config: GaussianSNReadout, space: Space, units: int) -> None:
        super().__init__(config, space, units)
        self.raw_beta = nn.Parameter(torch.full((units,), math.log(math.expm1(config.init_beta))))
        self.raw_noise = nn.Parameter(torch.full((units,), math.log(math.expm1(config.init_noise))))

    def read(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        excitation = self.excitatory(x, masks[0]).float()
        divisor = LEAST + F.softplus(self.raw_beta) + self.inhibitory(x, masks[1]).float().abs()
        if self.training:
            noise = F.softplus(self.raw_noise) * torch.randn_like(divisor)
            divisor = divisor + torch.maximum(noise, -0.5 * divisor)
        return excitation / divisor
