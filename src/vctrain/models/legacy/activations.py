"""Which activation has a name in an old config?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import activation as torch_activations

from vctrain.errors import UsageError


class SplitReLU(nn.Module):
    """``cat(relu(x) * |ongain|, relu(-x))``: twice the channels."""

    def __init__(self, split_dim: int = 1, trainable_gain: bool = False) -> None:
        super().__init__()
        self.split_dim = split_dim
        self.ongain = nn.Parameter(torch.ones(1), requires_grad=trainable_gain)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(x) * self.ongain.abs(), F.relu(-x)], dim=self.split_dim)


class BoundedSoftplus(nn.Module):
    """``softplus(beta * x) / beta`` with a learned beta within bounds."""

    def __init__(self, beta_init: float = 1.0, beta_min: float = 0.1, beta_max: float = 10.0) -> None:
        super().__init__()
        self.log_beta = nn.Parameter(torch.tensor(math.log(beta_init)))
        self.bounds = (beta_min, beta_max)

    def forward(self, x: Tensor) -> Tensor:
        beta = self.log_beta.exp().clamp(*self.bounds)
        return F.softplus(beta * x) / beta


_NAMED: dict[str, Callable[..., nn.Module]] = {
    "none": nn.Identity,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "bsoftplus": BoundedSoftplus,
    "splitrelu": SplitReLU,
}
_NOT_ACTIVATIONS = {"MultiheadAttention"}
ACROSS_ELEMENTS = (nn.GLU, nn.Softmax, nn.Softmin, nn.LogSoftmax, nn.Softmax2d, nn.RReLU)
"""Activations that mix elements along an axis of their own choice, or draw numbers."""


def build_activation(name: str, params: Mapping[str, Any] | None = None) -> nn.Module:
    """The activation ``name``: the old system's own names in any case, else a class of ``torch.nn``'s activations.

    Raises `UsageError` for a name that is neither, or keywords that it does not take.
    """
    make = _NAMED.get(name.lower())
    if make is None and name in set(torch_activations.__all__) - _NOT_ACTIVATIONS:
        make = getattr(torch_activations, name)
    if make is None:
        raise UsageError(
            f"no activation {name!r}",
            hint=f"valid: {', '.join(_NAMED)}, or the name of an activation class of torch.nn",
        )
    try:
        return make(**(params or {}))
    except TypeError as error:
        raise UsageError(f"activation {name}: {error}", hint="correct act_params") from error


def doubles_channels(activation: nn.Module) -> bool:
    """Whether it has twice as many channels as its input."""
    return isinstance(activation, SplitReLU) and activation.split_dim == 1


@torch.no_grad()
def inverse(activation: nn.Module, values: Tensor) -> Tensor:
    """Where a rising ``activation`` takes ``values``, within -30 to 30, by halving."""
    low, high = torch.full_like(values, -30.0), torch.full_like(values, 30.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = activation(middle) < values
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
