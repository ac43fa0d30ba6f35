"""How old blocks pool their features ``(n, C, T, H, W)``."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_blocks import AdaptivePool, BlurPool, MaxOrAverage
from vctrain.errors import UsageError


def _each_frame(x: Tensor) -> Tensor:
    """Frames as images with one channel each, ``(n * C * T, 1, H, W)``."""
    return x.reshape(-1, 1, *x.shape[3:])


class ChannelGate(nn.Sequential):
    """Squeeze and excitation of each frame: ``x * sigmoid(W2 silu(W1 mean(x)))`` (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int) -> None:
        hidden = max(channels // reduction, 1)
        super().__init__(
            nn.AdaptiveAvgPool3d((None, 1, 1)),
            nn.Conv3d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv3d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = x
        for module in self:
            gate = module(gate)
        return x * gate


class SoftPool(nn.Module):
    """Blur (or not), 2 x 2 average weighted by ``exp(x / temperature)`` (or not), then a gate for each channel.

    The window is 2 x 2 whatever the stride, so a stride of 1 takes one row and column away.
    """

    blur: Tensor

    def __init__(self, config: BlurPool, channels: int, temperature: float) -> None:
        super().__init__()
        self.blurs = config.type == "aablur"
        self.stride, self.soft, self.temperature = config.stride, config.use_soft, temperature
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("blur", (torch.outer(taps, taps) / 16).view(1, 1, 3, 3), persistent=False)
        self.se = ChannelGate(channels, config.r)

    def forward(self, x: Tensor) -> Tensor:
        y = _each_frame(x)
        if self.blurs:
            y = F.conv2d(y, self.blur.to(y.dtype), padding=1)
        if self.soft:
            weight = torch.exp(y / self.temperature)
            y = F.avg_pool2d(y * weight, 2, self.stride) / (F.avg_pool2d(weight, 2, self.stride) + 1e-6)
        else:
            y = F.avg_pool2d(y, 2, self.stride)
        return self.se(y.view(*x.shape[:3], *y.shape[2:]))


def build_pool(
    config: MaxOrAverage | AdaptivePool | BlurPool, channels: int, taps: int, temperature: float, head: bool
) -> nn.Module:
    """The pool of a block whose kernel has ``taps`` lags. Raises `UsageError` where the old code could not run."""
    if isinstance(config, BlurPool):
        return SoftPool(config, channels, temperature)
    if head and taps == 1:
        raise UsageError(
            f"pool {config.type} after a kernel of one lag: the newest code chose a pool for images and failed",
            hint="no checkpoint of it can exist; train the architecture anew as a current model",
        )
    if isinstance(config, AdaptivePool):
        adaptive = nn.AdaptiveMaxPool3d if config.type == "adaptivemax" else nn.AdaptiveAvgPool3d
        return adaptive(config.kernel_size)
    make: Callable[..., nn.Module] = nn.MaxPool3d if config.type == "max" else nn.AvgPool3d
    return make(config.kernel_size, config.stride, config.padding)
