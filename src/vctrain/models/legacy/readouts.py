"""How units of old models read the oldest frame of the features, ``(n, C, T, H, W)`` or ``(n, C, H, W)``."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import GaussianParams, LegacyGaussian, LegacyLinear, LinearParams, TwoMaskParams
from vctrain.models.legacy.activations import build_activation

MIN_STD = 1e-3


def last_frame(x: Tensor) -> Tensor:
    """The oldest frame, or the only one."""
    return x[:, :, -1] if x.dim() == 5 else x


def masks(mean: Tensor, std: Tensor, theta: Tensor, height: int, width: int) -> Tensor:
    """Rotated Gaussians ``(U, H, W)`` that sum to one; ``mean`` and ``std`` ``(U, 2)`` as (y, x) in pixels from the
    map's centre, ``theta`` ``(U,)`` in radians."""
    y = torch.linspace(-(height - 1) / 2, (height - 1) / 2, height, device=mean.device)[None, :, None]
    x = torch.linspace(-(width - 1) / 2, (width - 1) / 2, width, device=mean.device)[None, None]
    dy, dx = y - mean[:, 0, None, None], x - mean[:, 1, None, None]
    cos, sin = theta.cos()[:, None, None], theta.sin()[:, None, None]
    spread = std.clamp_min(MIN_STD)[:, :, None, None]
    along, across = (dy * cos + dx * sin) / spread[:, 0], (-dy * sin + dx * cos) / spread[:, 1]
    gaussian = torch.exp(-0.5 * (along.square() + across.square()))
    return gaussian / (gaussian.sum((1, 2), keepdim=True) + 1e-8)


def read(frame: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """``sum_c w[u, c] sum_yx mask[u, y, x] x[n, c, y, x]``, ``(n, U)``: the mask first, which is less work."""
    pooled = torch.einsum("nchw,uhw->nuc", frame, mask.to(frame.dtype))
    return torch.einsum("nuc,uc->nu", pooled, weight[:, :, 0, 0])


class MaskReadout(nn.Module):
    """One Gaussian mask a unit, a weight for each channel, a bias."""

    def __init__(self, params: GaussianParams, channels: int, units: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(units)) if params.bias else None
        self.mean = nn.Parameter(params.initial_mean_scale * torch.randn(units, 2))
        self.std = nn.Parameter(torch.full((units, 2), float(params.initial_std)))
        self.theta = nn.Parameter(torch.zeros(units))
        self.features = nn.Conv2d(channels, units, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        frame = last_frame(x)
        y = read(frame, self.features.weight, masks(self.mean, self.std, self.theta, *frame.shape[-2:]))
        return y if self.bias is None else y + self.bias

    def offset(self) -> Tensor | None:
        """What is added to every unit."""
        return self.bias

    @property
    def centres(self) -> tuple[nn.Parameter, ...]:
        """Centres of the masks."""
        return (self.mean,)


class MeanReadout(nn.Module):
    """The mean over space, a weight for each channel, a bias (old code registered it a second time as ``bias``)."""

    def __init__(self, params: LinearParams, channels: int, units: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, units, bias=params.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(last_frame(x).mean((2, 3)))

    def offset(self) -> Tensor | None:
        """What is added to every unit."""
        return self.fc.bias

    @property
    def centres(self) -> tuple[nn.Parameter, ...]:
        """Centres of the masks: none."""
        return ()


_CONSTRAINTS = {"abs": torch.abs, "exp": torch.exp, "square": torch.square}


class TwoMaskReadout(nn.Module):
    """Excitation and inhibition, each through its own Gaussian mask and non-negative weights.

    Plain: ``ex - inh + bias``. Divisive (stochastic normalisation): ``ex / (softplus(_beta_raw) + _beta_floor + |inh| +
    _eps) + bias``; in training the divisor is noisy.
    """

    _beta_floor: Tensor
    _sigma_floor: Tensor
    _eps: Tensor

    def __init__(self, params: TwoMaskParams, channels: int, units: int, divisive: bool) -> None:
        super().__init__()
        self.divisive = divisive
        self.bias = nn.Parameter(torch.full((units,), -5.0 if divisive else 0.0)) if params.bias else None
        for side, std in (("ex", params.initial_std_ex), ("inh", params.initial_std_inh)):
            weight = F.normalize(torch.rand(units, channels, 1, 1), dim=1)
            weight = weight * 10 if divisive and side == "ex" else weight
            self.register_parameter(f"_features_{side}_weight", nn.Parameter(weight))
            self.register_parameter(f"mean_{side}", nn.Parameter(torch.zeros(units, 2)))
            self.register_parameter(f"std_{side}", nn.Parameter(torch.full((units, 2), float(std))))
            self.register_parameter(f"theta_{side}", nn.Parameter(torch.zeros(units)))
        self.constraint = _CONSTRAINTS.get(str(params.weight_constraint_fn)) or build_activation(
            params.weight_constraint_fn or "relu"
        )
        if divisive:
            self._beta_raw = nn.Parameter(torch.tensor(math.log(math.expm1(0.1))))
            self._sigma_raw = nn.Parameter(torch.tensor(math.log(math.expm1(0.05))))
            for name, value in (("_beta_floor", 1e-4), ("_sigma_floor", 1e-5), ("_eps", 1e-6)):
                self.register_buffer(name, torch.tensor(value))

    def _side(self, frame: Tensor, side: str) -> Tensor:
        mean, std, theta = (self.get_parameter(f"{name}_{side}") for name in ("mean", "std", "theta"))
        weight = self.constraint(self.get_parameter(f"_features_{side}_weight"))
        return read(frame, weight, masks(mean, std, theta, *frame.shape[-2:]))

    def forward(self, x: Tensor) -> Tensor:
        frame = last_frame(x)
        excitation, inhibition = self._side(frame, "ex"), self._side(frame, "inh")
        if self.divisive:
            divisor = F.softplus(self._beta_raw) + self._beta_floor + inhibition.abs() + self._eps
            if self.training:
                sigma = F.softplus(self._sigma_raw) + self._sigma_floor
                divisor = torch.maximum(divisor + sigma * torch.randn_like(divisor), self._eps)
            y = excitation / divisor
        else:
            y = excitation - inhibition
        return y if self.bias is None else y + self.bias

    def offset(self) -> Tensor | None:
        """What is added to every unit."""
        return self.bias

    @property
    def centres(self) -> tuple[nn.Parameter, ...]:
        """Centres of the masks."""
        return (self.get_parameter("mean_ex"), self.get_parameter("mean_inh"))


AnyReadout: TypeAlias = MaskReadout | MeanReadout | TwoMaskReadout


def build_readout(config: Any, channels: int, units: int) -> AnyReadout:
    """The readout of a session with so many units. Raises `UsageError` for a weight constraint without a name."""
    if isinstance(config, LegacyGaussian):
        return MaskReadout(config.params, channels, units)
    if isinstance(config, LegacyLinear):
        return MeanReadout(config.params, channels, units)
    return TwoMaskReadout(config.params, channels, units, config.type == "gaussiansn")
