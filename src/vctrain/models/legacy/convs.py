"""The convolutions of old blocks, whose kernels may be normalised and tapered on every use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_blocks import LegacyConv, LegacyKernel, Sizes
from vctrain.errors import UsageError
from vctrain.models.legacy.windows import Features, Windows

TAPERED = 5
"""Axes of fewer taps are not tapered."""


def three(sizes: Sizes) -> tuple[int, int, int]:
    """Sizes for (time, height, width)."""
    if isinstance(sizes, int):
        return (sizes, sizes, sizes)
    time, height, width = sizes
    return (time, height, width)


def taper(name: str, taps: int, params: Mapping[str, Any]) -> Tensor:
    """A symmetric window of ``torch.signal.windows`` to a ``power``, its greatest value 1.

    Raises UsageError for a name or keywords that torch does not know.
    """
    make = getattr(torch.signal.windows, name, None) if name in torch.signal.windows.__all__ else None
    if make is None:
        raise UsageError(f"no window {name!r}", hint=f"valid: {', '.join(torch.signal.windows.__all__)}")
    rest = {key: value for key, value in params.items() if key != "power"}
    try:
        window: Tensor = make(taps, sym=True, **rest) ** float(params.get("power", 1.0))
    except TypeError as error:
        raise UsageError(f"window {name}: {error}", hint="correct aa_window_kwargs") from error
    return window / window.max()


def taper_of(config: LegacyKernel, shape: tuple[int, ...]) -> Tensor:
    """The product of windows over the axes of a kernel ``(O, I, ...)``; shorter axes are left alone."""
    mask = torch.ones(())
    for taps in shape[2:]:
        window = taper(config.aa_window, taps, config.aa_window_kwargs) if taps >= TAPERED else torch.ones(taps)
        mask = mask[..., None] * window
    return mask


def live_taps(mask: Tensor | None, size: tuple[int, int, int]) -> tuple[tuple[int, int], ...]:
    """How many taps at either end of each axis a taper leaves: first and last + 1, without those that are always zero.

    >>> live_taps(taper_of(LegacyKernel(aa_window="hann"), (1, 1, 3, 9, 5)), (3, 9, 5))
    ((0, 3), (1, 8), (1, 4))
    """
    if mask is None:
        return tuple((0, taps) for taps in size)
    live = mask.expand(size) != 0
    found = []
    for axis, taps in enumerate(size):
        places = live.any(tuple(other for other in range(3) if other != axis)).nonzero().flatten().tolist()
        found.append((places[0], places[-1] + 1) if places else (0, taps))
    return tuple(found)


class UnitKernel(nn.Module):
    """Weight norm: ``g * v / |v|`` over all axes but ``dim`` (Salimans & Kingma 2016)."""

    def __init__(self, weight: Tensor, dim: int, keep_unit: bool) -> None:
        super().__init__()
        self.dim = dim % weight.ndim
        self.v = nn.Parameter(weight.clone())
        norm = torch.ones(weight.shape[self.dim]) if keep_unit else self._norm(weight).flatten()
        self.g = nn.Parameter(norm, requires_grad=not keep_unit)

    def _norm(self, weight: Tensor) -> Tensor:
        axes = tuple(axis for axis in range(weight.ndim) if axis != self.dim)
        return torch.linalg.vector_norm(weight, dim=axes, keepdim=True).clamp_min(1e-12)

    def forward(self) -> Tensor:
        norm = self._norm(self.v)
        return self.g.view(norm.shape) * self.v / norm


class ComputedKernel(nn.Module):
    """A kernel computed from other tensors, under the names that torch's parametrisations give them."""

    mask: Tensor | None

    def __init__(self, weight: Tensor, config: LegacyKernel, dim: int, tapered: bool) -> None:
        super().__init__()
        if config.use_weight_norm:
            self.add_module("0", UnitKernel(weight, dim, config.keep_unit_norm))
        else:
            self.original = nn.Parameter(weight)
        self.register_buffer("mask", taper_of(config, tuple(weight.shape)) if tapered else None, persistent=False)

    def forward(self) -> Tensor:
        weight = self.get_submodule("0")() if "0" in self._modules else self.original
        return weight if self.mask is None else weight * self.mask


class LegacyKernelConv(nn.Module):
    """An unpadded convolution of windows; ``weight`` ``(O, I / groups, k, kh, kw)`` or what it is computed from."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: tuple[int, int, int],
        *,
        stride: tuple[int, int, int] = (1, 1, 1),
        dilation: tuple[int, int, int] = (1, 1, 1),
        groups: int = 1,
        bias: bool = True,
        computed: LegacyKernel | None = None,
        dim: int = 0,
        tapered: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.groups, self.taps = stride, dilation, groups, size[0]
        weight = torch.empty(out_channels, in_channels // groups, *size)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        tapered = tapered and computed is not None and computed.aa_signal
        self.size = size
        if computed is not None and (computed.use_weight_norm or tapered):
            self.parametrizations = nn.ModuleDict({"weight": ComputedKernel(weight, computed, dim, tapered)})
        else:
            self.weight = nn.Parameter(weight)
        mask = computed and tapered and taper_of(computed, tuple(weight.shape))
        self.live = live_taps(mask if isinstance(mask, Tensor) else None, size)
        reach = 1 / math.sqrt(weight[0].numel())
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-reach, reach)) if bias else None

    def kernel(self) -> Tensor:
        """The kernel as it is applied."""
        weight: Tensor = self.parametrizations["weight"]() if "parametrizations" in self._modules else self.weight
        return weight

    def frames(self, frames: int) -> int:
        """Slots that come out of a window of so many."""
        return (frames - self.dilation[0] * (self.taps - 1) - 1) // self.stride[0] + 1

    def _live_kernel(self) -> Tensor:
        (a, b), (c, d), (e, f) = self.live
        return self.kernel()[:, :, a:b, c:d, e:f]

    def _reached(self, length: int, axis: int) -> slice:
        """Which of so many frames, rows or columns the live taps reach."""
        (first, stop), step = self.live[axis], self.dilation[axis]
        return slice(first * step, length - (self.size[axis] - stop) * step)

    def _in_space(self, x: Tensor) -> Tensor:
        return x[..., self._reached(x.shape[3], 1), self._reached(x.shape[4], 2)]

    def forward(self, x: Tensor) -> Tensor:
        reached = self._in_space(x[:, :, self._reached(x.shape[2], 0)])
        return F.conv3d(reached, self._live_kernel(), self.bias, self.stride, 0, self.dilation, self.groups)

    def on_windows(self, x: Windows) -> Windows:
        """The same for shared windows."""
        reached = replace(x.map(self._in_space), slots=x.slots[self._reached(x.frames, 0)])
        return reached.correlate(self._live_kernel(), self.bias, self.stride, self.dilation, self.groups)

    def apply_to(self, x: Features) -> Features:
        """The convolution of windows of either kind."""
        return self.on_windows(x) if isinstance(x, Windows) else self(x)


class StandardConv(nn.Module):
    """One convolution, ``conv``."""

    def __init__(self, config: LegacyConv, in_channels: int, out_channels: int, bias: bool) -> None:
        super().__init__()
        self.conv = LegacyKernelConv(
            in_channels,
            out_channels,
            three(config.kernel_size),
            stride=three(config.stride),
            dilation=three(config.dilation),
            groups=config.groups,
            bias=bias,
            computed=config,
        )

    @property
    def first(self) -> LegacyKernelConv:
        """The convolution over lags and space."""
        return self.conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def on_windows(self, x: Windows) -> Windows:
        """The same for shared windows."""
        return self.conv.on_windows(x)


class DepthwiseConv(nn.Module):
    """Each channel by itself (``depthwise``, no bias), then a mixture of channels (``pointwise``)."""

    def __init__(self, config: LegacyConv, in_channels: int, out_channels: int, bias: bool) -> None:
        super().__init__()
        self.depthwise = LegacyKernelConv(
            in_channels,
            in_channels,
            three(config.kernel_size),
            stride=three(config.stride),
            dilation=three(config.dilation),
            groups=in_channels,
            bias=False,
            computed=config,
            dim=config.weight_norm_dim,
        )
        self.pointwise = LegacyKernelConv(
            in_channels, out_channels, (1, 1, 1), bias=bias, computed=config, tapered=False
        )

    @property
    def first(self) -> LegacyKernelConv:
        """The convolution over lags and space."""
        return self.depthwise

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))

    def on_windows(self, x: Windows) -> Windows:
        """The same for shared windows."""
        return self.pointwise.on_windows(self.depthwise.on_windows(x))


def build_conv(config: LegacyConv, in_channels: int, out_channels: int, bias: bool) -> StandardConv | DepthwiseConv:
    """The convolution that ``conv_params`` names."""
    make = DepthwiseConv if config.type == "depthwise" else StandardConv
    return make(config, in_channels, out_channels, bias)
