"""How old blocks normalise their features ``(n, C, T, H, W)``, where T counts lags and not time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vctrain.config.legacy_blocks import LegacyNormParams
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Windows

EPS = 1e-5
TIME = 2


def _dims(target: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dim % 5 for dim in ((target,) if isinstance(target, int) else target))


def _by_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1, 1)


class RootMeanSquare(nn.Module):
    """``x / sqrt(mean(x^2) + eps)`` over ``dims``, in float32; ``gamma`` and ``beta`` ``(C,)`` where affine."""

    def __init__(self, channels: int, dims: tuple[int, ...], eps: float, affine: bool) -> None:
        super().__init__()
        self.dims, self.eps = dims, eps
        self.gamma = nn.Parameter(torch.ones(channels)) if affine else None
        self.beta = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        y = (wide * torch.rsqrt(wide.square().mean(self.dims, keepdim=True) + self.eps)).to(x.dtype)
        if self.gamma is None or self.beta is None:
            return y
        return y * _by_channel(self.gamma) + _by_channel(self.beta)


class MeanAndVariance(nn.Module):
    """``(x - mean) / sqrt(variance + eps)`` over ``dims``, in float32, without parameters."""

    def __init__(self, dims: tuple[int, ...], eps: float) -> None:
        super().__init__()
        self.dims, self.eps = dims, eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        mean = wide.mean(self.dims, keepdim=True)
        variance = wide.square().mean(self.dims, keepdim=True) - mean.square()
        return ((wide - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)


class ResponseNorm(nn.Module, ABC):
    """A gain for each channel that follows from its Euclidean norm in the window, and an offset."""

    gamma: nn.Parameter
    beta: nn.Parameter

    @abstractmethod
    def gain(self, norm: Tensor, count: int) -> Tensor:
        """The gains for norms ``(n, C, 1, 1, 1)`` of so many values each."""

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=(2, 3, 4), keepdim=True)
        return self.scaled(x, self.gain(norm, x[0, 0].numel()))

    def on_windows(self, x: Windows) -> Tensor:
        """Windows written out and scaled."""
        return self.scaled(x.gather(), self.gain_of(x))

    def gain_of(self, x: Windows) -> Tensor:
        """The gains of each window, ``(windows, C, 1, 1, 1)``; the norm of a frame is computed once for all windows
        that hold it."""
        of_frames = x.map(lambda stream: torch.linalg.vector_norm(stream, dim=(3, 4), keepdim=True))
        norm = torch.linalg.vector_norm(of_frames.gather(), dim=2, keepdim=True)
        return self.gain(norm, x.frames * x.streams[0][0, 0, 0].numel())

    def scaled(self, x: Tensor, gain: Tensor) -> Tensor:
        """``gain * x + beta``."""
        return torch.addcmul(self.beta.view(1, -1, 1, 1, 1), x, gain)


class OldResponseNorm(ResponseNorm):
    """Each channel over its root mean square in the window plus a learned offset within [0.1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.full((1,), 0.5))
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def gain(self, norm: Tensor, count: int) -> Tensor:
        """``gamma / (rms + offset)``."""
        # in half precision a norm of 256 has a square of infinity
        rms = torch.sqrt(norm.float().square() / count + 1e-6).to(norm.dtype)
        return _by_channel(self.gamma) / (rms + self.offset.clamp(0.1, 1.0))


class HeadResponseNorm(ResponseNorm):
    """Each channel times its norm in the window over the mean norm of all channels, beside itself (Woo et al. 2023)."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1, 1), 0.1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1, 1))

    def gain(self, norm: Tensor, count: int) -> Tensor:
        """``1 + gamma * norm / mean norm``."""
        share = norm / (norm.mean(1, keepdim=True) + self.eps)
        return 1 + self.gamma * share


def build_norm(kind: str, params: LegacyNormParams, channels: int, code: Code) -> nn.Module:
    """The norm that a block's ``norm_type`` and ``norm_params`` name."""
    eps = params.eps or EPS
    if kind == "batch":
        return nn.BatchNorm3d(channels, eps=eps, affine=params.affine is not False)
    if kind == "instance":
        return nn.InstanceNorm3d(channels, eps=eps, affine=bool(params.affine))
    if kind == "group":
        groups = params.num_groups if channels % params.num_groups == 0 else 1
        return nn.GroupNorm(groups, channels, eps=eps, affine=params.affine is not False)
    if kind == "rms":
        return RootMeanSquare(channels, _dims(params.target_dim), eps, has_affine_rms(params, code))
    if kind == "layer":
        return MeanAndVariance(_dims(params.target_dim), eps)
    if kind == "grn":
        return HeadResponseNorm(channels, eps) if code.head else OldResponseNorm(channels)
    return nn.Identity()


def has_affine_rms(params: LegacyNormParams, code: Code) -> bool:
    """Whether a norm of type rms has parameters; old code had none whatever its settings say."""
    return params.affine is not False if code.rms_affine is None else code.rms_affine
