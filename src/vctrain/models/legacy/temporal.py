"""The learned frontend of old models: kernels over the lags, shared by all pixels, their tapers and first shapes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import TemporalParams
from vctrain.errors import UsageError
from vctrain.models.legacy.convs import LegacyKernelConv
from vctrain.models.legacy.pyramid import fine_and_coarse
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Features, Windows

CUT, NYQUIST = 0.45, 0.5
"""Cycles a frame from which on the anti-aliased kernels are attenuated, and from which on nothing is left."""


def antialiased(kernel: Tensor) -> Tensor:
    """Kernels ``(..., k)`` under a Hann window, low-passed with a raised-cosine edge, under the window again.

    The code of mid-October 2025 did so to every temporal kernel before it was used, unless told otherwise.
    """
    taps = kernel.shape[-1]
    window = torch.hann_window(taps, periodic=False, device=kernel.device, dtype=kernel.dtype)
    length = 2 ** math.ceil(math.log2(2 * taps))
    frequency = torch.fft.rfftfreq(length, device=kernel.device, dtype=kernel.dtype)
    edge = 0.5 * (1 + torch.cos(math.pi * (frequency - CUT) / (NYQUIST - CUT)))
    gain = torch.where(frequency <= CUT, torch.ones_like(edge), edge)
    gain = torch.where(frequency >= NYQUIST, torch.zeros_like(edge), gain)
    spectrum = torch.fft.rfft(kernel * window, n=length)
    return torch.fft.irfft(spectrum * gain, n=length)[..., :taps] * window


def initial_bank(kind: str, channels: int, taps: int) -> Tensor | None:
    """Kernels ``(channels, taps)`` at the start; None leaves them random."""
    if kind == "gaussian_derivatives":
        t, s = torch.linspace(-(taps - 1) / 2, (taps - 1) / 2, taps), taps / 6
        bell = torch.exp(-t.square() / (2 * s * s))
        shapes = [bell, -t / s**2 * bell, (t.square() / s**2 - 1) / s**2 * bell]
        bank = torch.stack([shapes[i] if i < 3 else torch.randn(taps) * bell for i in range(channels)])
        return bank / bank.norm(dim=1, keepdim=True)
    if kind == "identity":
        return F.one_hot(torch.arange(channels).clamp_max(taps - 1), taps).float()
    if kind == "biphasic":
        t = torch.arange(taps) / 120.0

        def gamma(tau: float) -> Tensor:  # of order 2
            return t * torch.exp(-t / tau) / tau**2

        shape = gamma(0.008) - 0.9 * gamma(0.022)
        shape = shape - shape.mean()
        return (shape / shape.clamp_min(0).sum()).expand(channels, taps).clone()
    return None


class OldTemporal(nn.Module):
    """``(n, C, T, H, W)`` to ``(n, C * channels, T - k + 1, H, W)``; ``temporal_conv`` holds ``(channels, 1, k)``."""

    def __init__(self, params: TemporalParams, in_channels: int, code: Code) -> None:
        super().__init__()
        self.antialias = code.antialias if params.anti_aliasing is None else params.anti_aliasing
        self.temporal_conv = nn.Conv1d(1, params.num_channels, params.kernel_size, bias=params.bias)
        bank = initial_bank(params.init_type, params.num_channels, params.kernel_size)
        if bank is not None:
            with torch.no_grad():
                self.temporal_conv.weight.copy_(bank[:, None])
        self.inputs, self.out_channels = in_channels, in_channels * params.num_channels

    def kernel(self) -> Tensor:
        """The kernels as they are applied, for every input channel, ``(C * channels, 1, k, 1, 1)``."""
        weight = self.temporal_conv.weight
        weight = antialiased(weight) if self.antialias else weight
        return weight[..., None, None].repeat(self.inputs, 1, 1, 1, 1)

    def _bias(self) -> Tensor | None:
        return None if self.temporal_conv.bias is None else self.temporal_conv.bias.repeat(self.inputs)

    def forward(self, x: Features) -> Features:
        if isinstance(x, Windows):
            return x.correlate(self.kernel(), self._bias(), (1, 1, 1), (1, 1, 1), self.inputs)
        return F.conv3d(x, self.kernel(), self._bias(), groups=self.inputs)


class HeadTemporal(nn.Module):
    """The newer form: one input channel, ``temporal_conv.conv`` ``(channels, 1, k, 1, 1)``, perhaps normalised and
    tapered; with ``split_MP`` half of the kernels read the fine part of each frame and half the coarse one."""

    def __init__(self, params: TemporalParams, in_channels: int) -> None:
        super().__init__()
        if in_channels != 1:
            raise UsageError(
                f"frontend learnable_temporal on {in_channels} channels: the newest code read one only",
                hint="no checkpoint of it can exist; correct initial_input_channels or semantics",
            )
        if params.split_MP and params.num_channels % 2:
            raise UsageError(
                f"frontend.params.num_channels is {params.num_channels}, and split_MP halves it",
                hint="give an even number",
            )
        self.split = params.split_MP
        groups = 2 if self.split else 1
        conv = LegacyKernelConv(
            groups,
            params.num_channels,
            (params.kernel_size, 1, 1),
            groups=groups,
            bias=params.bias,
            computed=params,
        )
        bank = initial_bank(params.init_type, params.num_channels, params.kernel_size)
        if bank is not None and not params.reparametrised:
            with torch.no_grad():
                conv.weight.copy_(bank.view_as(conv.weight))
        self.temporal_conv = nn.ModuleDict({"conv": conv})
        self.out_channels = params.num_channels

    def forward(self, x: Features) -> Features:
        if self.split:
            x = x.map(fine_and_coarse) if isinstance(x, Windows) else fine_and_coarse(x)
        conv = self.temporal_conv["conv"]
        assert isinstance(conv, LegacyKernelConv)
        return conv.apply_to(x)
