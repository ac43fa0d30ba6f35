"""Nonlinearities between convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.activations import Activation, BoundedSoftplus, SplitRelu

MAX_SHARPNESS = 10.0


class Square(nn.Module):
    """``x^2``, the nonlinearity of energy models (Adelson and Bergen 1985)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class BoundedSoftplusLayer(nn.Module):
    """``softplus(beta * x) / beta`` with ``beta = 10^tanh(sharpness)``, so 0.1 < beta < 10 and beta always learns."""

    def __init__(self, config: BoundedSoftplus) -> None:
        super().__init__()
        exponent = math.log(config.init_beta) / math.log(MAX_SHARPNESS)
        self.sharpness = nn.Parameter(torch.tensor(math.atanh(exponent)))

    def forward(self, x: Tensor) -> Tensor:
        beta = torch.exp(math.log(MAX_SHARPNESS) * torch.tanh(self.sharpness))
        return F.softplus(beta * x) / beta


class SplitReLU(nn.Module):
    """Positive and negative parts as separate channels: ON and OFF pathways, twice the channels."""

    def __init__(self, config: SplitRelu | None = None) -> None:
        super().__init__()
        learned = config is not None and config.trainable_gain
        self.on_gain = nn.Parameter(torch.ones(())) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        return self._joined(x, -x)

    def of_largest(self, x: Tensor, largest: Callable[[Tensor], Tensor]) -> Tensor:
        """``largest(self(x))`` where that takes a maximum of each channel: rectification keeps the order of values."""
        return self._joined(largest(x), largest(-x))

    def _joined(self, up: Tensor, down: Tensor) -> Tensor:
        on = F.relu(up)
        return torch.cat([on if self.on_gain is None else on * self.on_gain.abs(), F.relu(down)], dim=1)


_POINTWISE: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "square": Square,
}


def named_activation(name: str) -> nn.Module:
    """The activation without settings that is called ``name``."""
    return _POINTWISE[name]()


def build_activation(config: Activation) -> nn.Module:
    """The activation of these settings."""
    if isinstance(config, SplitRelu):
        return SplitReLU(config)
    if isinstance(config, BoundedSoftplus):
        return BoundedSoftplusLayer(config)
    return named_activation(config.type)
