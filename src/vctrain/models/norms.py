"""Normalisations that never look across time, so a frame's prediction does not depend on its clip."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.norms import (
    BatchNorm,
    GlobalResponseNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    Norm,
    RMSNorm,
)

EPS = 1e-5
MOMENTUM = 0.1
"""Weight of the latest batch in the running statistics."""


def wide(x: Tensor) -> Tensor:
    """``x`` in a type that holds sums of squares near zero and the steep gradients of their roots there.

    Half precision does not: 1e-10 is 0 in it, and the gradient of rsqrt at 1e-5 infinite."""
    return x.float() if x.dtype == torch.float16 else x


class _Affine(nn.Module):
    """A gain ``gamma`` and offset ``beta`` of each channel ``(C,)``, or neither."""

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels)) if affine else None
        self.beta = nn.Parameter(torch.zeros(channels)) if affine else None

    def scaled(self, x: Tensor) -> Tensor:
        """``gamma * x + beta``."""
        if self.gamma is None or self.beta is None:
            return x
        return torch.addcmul(self.beta.view(1, -1, 1, 1, 1), x, self.gamma.view(1, -1, 1, 1, 1))


class ChannelRMS(_Affine):
    """Root-mean-square over channels at each frame and position, with gain and offset (Zhang and Sennrich 2019)."""

    def __init__(self, channels: int, affine: bool = True) -> None:
        super().__init__(channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x * torch.rsqrt(wide(x).square().mean(1, keepdim=True) + EPS).to(x.dtype))


class ChannelLayerNorm(_Affine):
    """Mean and variance over channels at each frame and position, with gain and offset (Ba et al. 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        return F.layer_norm(last, last.shape[-1:], self.gamma, self.beta, EPS).movedim(-1, 1)


class SpatialNorm(_Affine):
    """Mean and variance of each of ``groups`` groups of channels over space, frame by frame (Wu and He 2018; one group
    a channel: Ulyanov et al. 2016)."""

    def __init__(self, channels: int, groups: int, affine: bool) -> None:
        super().__init__(channels, affine)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        grouped = wide(x).unflatten(1, (self.groups, -1))
        variance, mean = torch.var_mean(grouped, (2, 4, 5), correction=0, keepdim=True)
        return self.scaled(((grouped - mean) * torch.rsqrt(variance + EPS)).flatten(1, 2).to(x.dtype))


class SpatialGRN(nn.Module):
    """Global response normalisation over space only, frame by frame (Woo et al. 2023, ConvNeXt V2).

    ``y = gamma * x * g / mean_c(g) + beta + x`` with ``g`` the L2 norm of a channel over height and width of one frame.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 0.1))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = wide(x).square().sum((3, 4), keepdim=True)
        # sqrt has no gradient at zero, where a blank (mean-grey) frame puts it.
        norm = torch.sqrt(energy + EPS**2)
        relative = (norm / (norm.mean(1, keepdim=True) + EPS)).to(x.dtype)
        return x * (1 + self.gamma.view(1, -1, 1, 1, 1) * relative) + self.beta.view(1, -1, 1, 1, 1)


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class StepBatchNorm(_Affine):
    """Mean and variance of each channel over the clips, frames and positions of a training step, on all ranks together
    (Ioffe and Szegedy 2015). In evaluation: their running averages, so no frame looks at another."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__(channels, affine)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self._of_step(x) if self.training else (self.mean, self.variance)
        scale = torch.rsqrt(variance + EPS).view(1, -1, 1, 1, 1)
        return self.scaled((x - mean.view(1, -1, 1, 1, 1)) * scale)

    def _of_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        count = x.new_full((1,), x.numel() / x.shape[1], dtype=torch.float32)
        variance, mean = torch.var_mean(x.float(), (0, 2, 3, 4), correction=0)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            sums = torch.cat([count, count * mean, count * (variance + mean.square())])
            summed: Tensor = _SumOverRanks.apply(sums)  # type: ignore[no-untyped-call]
            count, total, squares = summed.split([1, *[len(mean)] * 2])
            mean = total / count
            variance = (squares / count - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp_min(1.0)
            self.mean.lerp_(mean.detach(), MOMENTUM)
            self.variance.lerp_(unbiased.detach(), MOMENTUM)
        return mean, variance


def build_norm(config: Norm, channels: int) -> nn.Module:
    """The norm of these settings for ``channels`` channels of ``(n, C, T, H, W)``."""
    match config:
        case NoNorm():
            return nn.Identity()
        case RMSNorm():
            return ChannelRMS(channels, config.affine)
        case LayerNorm():
            return ChannelLayerNorm(channels, config.affine)
        case GlobalResponseNorm():
            return SpatialGRN(channels)
        case InstanceNorm():
            return SpatialNorm(channels, channels, config.affine)
        case GroupNorm():
            return SpatialNorm(channels, config.groups, config.affine)
        case BatchNorm():
            return StepBatchNorm(channels, config.affine)
