"""A learned bank of causal temporal kernels shared by all pixels, in front of the convnet; or one block as frontend."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vctrain.config.components.frontends import ConvFrontend, LearnableTemporal
from vctrain.models.blocks import ConvBlock
from vctrain.models.causal import Causal, Past
from vctrain.models.geometry import Space
from vctrain.models.kernels import Kernel
from vctrain.models.registry import builds
from vctrain.models.temporal import filtered

BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def gaussian_derivatives(channels: int, taps: int) -> Tensor:
    """Gaussian and its first two derivatives in time, further rows random under the Gaussian; ``(channels, taps)``,
    unit norm."""
    t = torch.linspace(-(taps - 1) / 2, (taps - 1) / 2, taps)
    s = taps / 6
    envelope = torch.exp(-t.square() / (2 * s * s))
    shapes = [envelope, -t / (s * s) * envelope, (t.square() / (s * s) - 1) / (s * s) * envelope]
    rows = [shapes[i] if i < 3 else torch.randn(taps) * envelope for i in range(channels)]
    bank = torch.stack(rows)
    return bank / bank.norm(dim=1, keepdim=True)


def biphasic(channels: int, taps: int) -> Tensor:
    """Pairs of fast and slow biphasic kernels spread over latencies; ``(channels, taps)``, newest tap last, unit norm.

    Each is a difference of two gamma functions ``t^(n-1) exp(-t/tau)`` (n = 3), the usual description of cortical
    temporal kernels; time constants spread geometrically over the channels.
    """
    lag = torch.arange(taps, dtype=torch.float32)

    def gamma(tau: float) -> Tensor:
        shape = lag.square() * torch.exp(-lag / tau)
        return shape / shape.sum().clamp_min(1e-12)

    rows = []
    for channel in range(channels):
        spread = channel / max(channels - 1, 1)
        tau = taps / 14 * 2.0**spread * 0.7
        rows.append((gamma(tau) - 0.9 * gamma(1.8 * tau)).flip(0))
    bank = torch.stack(rows)
    return bank / bank.norm(dim=1, keepdim=True).clamp_min(1e-12)


def delays(channels: int, taps: int) -> Tensor:
    """The n-th kernel hands on the frame n frames ago (the oldest there is, if it does not reach so far);
    ``(channels, taps)``, newest tap last."""
    ago = torch.arange(channels).clamp_max(taps - 1)
    return torch.nn.functional.one_hot(taps - 1 - ago, taps).float()


def initial_kernels(config: LearnableTemporal, channels: int) -> Tensor | None:
    """The first ``channels`` kernels that ``config.init`` names, ``(channels, taps)``; None leaves them random.

    A white-noise movie through shaped kernels has twice its variance, as He initialisation has it.
    """
    match config.init:
        case "gaussian_derivatives":
            return gaussian_derivatives(channels, config.kernel_size) * math.sqrt(2.0)
        case "biphasic":
            return biphasic(channels, config.kernel_size) * math.sqrt(2.0)
        case "identity":
            return delays(channels, config.kernel_size)
        case "random":
            return None


def coarse(size: int) -> Tensor:
    """The matrix ``(size, size)`` that takes one axis of an image to its coarse band: blurred by [1 4 6 4 1] / 16,
    every second pixel kept, and interpolated by the same kernel (Burt and Adelson 1983).

    Borders are mirrored, and rows sum to 1, so grey stays grey up to the edge.
    """
    taps = torch.tensor(BINOMIAL, dtype=torch.float64)
    kept = torch.arange(0, size, 2)
    reach = torch.arange(-2, 3)
    source = (kept[:, None] + reach).abs()
    mirrored = torch.where(source > size - 1, 2 * (size - 1) - source, source).clamp(0, size - 1)
    down = torch.zeros(len(kept), size, dtype=torch.float64)
    down.scatter_add_(1, mirrored, taps.expand(len(kept), -1) / taps.sum())
    distance = torch.arange(size)[:, None] - kept[None, :] + 2
    up = torch.where((distance >= 0) & (distance <= 4), taps[distance.clamp(0, 4)], 0.0)
    return (up / up.sum(1, keepdim=True) @ down).float()


@builds(LearnableTemporal)
class TemporalBank(Causal):
    """``(n, 1, T, H, W)`` to ``(n, channels, T - taps + 1, H, W)``: causal and unpadded, oldest frame first.

    With ``split_mp`` the first half of the channels filters the fine band of each frame, what its coarse band leaves,
    the second half the coarse band.
    """

    coarse: Tensor | None

    def __init__(self, config: LearnableTemporal, space: Space) -> None:
        super().__init__()
        assert space.channels == 1, "frontends read the stimulus"
        self.taps, self.history = config.kernel_size, config.history
        self.bands = 2 if config.split_mp else 1
        self.kernel = Kernel(
            (config.num_channels, 1, config.kernel_size),
            window=config.window,
            window_power=config.window_power,
            weight_norm=config.weight_norm,
            keep_unit_norm=config.keep_unit_norm,
        )
        self.bias = nn.Parameter(torch.zeros(config.num_channels)) if config.bias else None
        self.register_buffer("coarse", coarse(space.geometry.size) if config.split_mp else None, persistent=False)
        half = config.num_channels // self.bands
        kernels = [initial_kernels(config, half) for _ in range(self.bands)]
        shaped = [bank for bank in kernels if bank is not None]
        if shaped:
            self.kernel.set_effective(torch.cat(shaped)[:, None])
        self.out = Space(config.num_channels, space.geometry)

    def _split(self, x: Tensor) -> Tensor:
        """Fine and coarse band of every frame, ``(n, 2, T, H, W)``."""
        if self.coarse is None:
            return x
        low = self.coarse @ x @ self.coarse.t()
        return torch.cat([x - low, low], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        y = filtered(self._split(x), self.kernel().view(self.bands, -1, self.taps))
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1, 1)


@builds(ConvFrontend)
class ConvFrontendStage(nn.Module):
    """One `ConvBlock` on the stimulus."""

    def __init__(self, config: ConvFrontend, space: Space) -> None:
        super().__init__()
        self.block = ConvBlock(config.block, space)
        self.history, self.out = config.history, self.block.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """That of the block."""
        return self.block.resume(x, past=past)
