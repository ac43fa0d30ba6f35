"""Spatial pooling of ``(n, C, T, H, W)``, each frame by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components import pools as settings
from vctrain.errors import UsageError
from vctrain.models.geometry import Geometry, Space
from vctrain.models.kernels import Kernel


class Pooling(nn.Module):
    """A pool; ``out`` is the geometry it writes, `average` the plain mean over the same windows, for shortcuts, and
    ``largest`` whether it takes a maximum."""

    largest = False

    def __init__(self, out: Geometry) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        return x

    def average(self, x: Tensor) -> Tensor:
        """``x`` at the positions that the pool writes."""
        return x


class WindowPooling(Pooling):
    """Maximum or mean of square windows; a trailing remainder is dropped."""

    def __init__(self, config: settings.WindowPool, space: Space) -> None:
        super().__init__(space.geometry.after(config.kernel, config.step, 0))
        self.windows = (1, config.kernel, config.kernel), (1, config.step, config.step)
        self.largest = config.type == "max"

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(x, *self.windows) if self.largest else F.avg_pool3d(x, *self.windows)

    def average(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(x, *self.windows)


class AdaptivePooling(Pooling):
    """Maximum or mean of windows that cover the map in ``size`` rows and columns; they overlap by a pixel where its
    side is no multiple.

    Raises `UsageError` where the map has fewer pixels.
    """

    def __init__(self, config: settings.AdaptivePool, space: Space) -> None:
        geometry = space.geometry
        if geometry.size < config.size:
            raise UsageError(
                f"pool {config.type} of size {config.size} has only {geometry.size} pixels a side to pool",
                hint="lower its size, or pool less before",
            )
        step = geometry.size / config.size
        first = geometry.offset + geometry.stride * (step - 1) / 2
        super().__init__(Geometry(config.size, geometry.stride * step, first))
        self.size = config.size
        self.largest = config.type == "adaptivemax"

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[2], self.size, self.size)
        return F.adaptive_max_pool3d(x, shape) if self.largest else self.average(x)

    def average(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool3d(x, (x.shape[2], self.size, self.size))


class Gate(nn.Module):
    """Channels times ``sigmoid(W2 silu(W1 m))`` with ``m`` their means over space, frame by frame (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((3, 4)).transpose(1, 2)
        gates = torch.sigmoid(self.excite(F.silu(self.squeeze(means))))
        return x * gates.transpose(1, 2)[..., None, None]


class SqueezeExcitePooling(Pooling):
    """A `Gate` in the place of a pool; the map keeps its size."""

    def __init__(self, config: settings.SqueezeExcite, space: Space) -> None:
        super().__init__(space.geometry)
        self.gate = Gate(space.channels, config.reduction)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x)


def binomial_blur(x: Tensor) -> Tensor:
    """``x`` blurred by [1 2 1] / 4 over height and width, border values repeated; centred, same size.

    Two means of neighbours are that kernel, and a mean that leaves out what lies beyond the border repeats it.
    """
    wider = F.avg_pool3d(x, (1, 2, 2), stride=1, padding=(0, 1, 1), count_include_pad=False)
    return F.avg_pool3d(wider, (1, 2, 2), stride=1)


def soft_pool(x: Tensor, side: int, temperature: float) -> Tensor:
    """Means of windows of ``side`` pixels, each pixel weighted by the softmax of ``x / temperature`` in its window
    (Stergiou et al. 2021); a trailing remainder is dropped."""
    window = (1, side, side)
    x = x[..., : x.shape[3] // side * side, : x.shape[4] // side * side]
    # pools instead of sums over axes of windows: half the time, and torch.compile fails on those after a blur
    largest = F.interpolate(F.max_pool3d(x.detach(), window), scale_factor=window, mode="nearest-exact")
    weights = torch.exp((x - largest) / temperature)
    return F.avg_pool3d(x * weights, window) / F.avg_pool3d(weights, window)


class BlurPooling(Pooling):
    """Binomial blur against aliasing (Zhang 2019), softmax-weighted means of windows, `Gate`."""

    def __init__(self, config: settings.BlurPool, space: Space) -> None:
        super().__init__(space.geometry.after(config.stride, config.stride, 0))
        self.stride = config.stride
        self.temperature = config.temperature if config.soft else None
        self.gate = Gate(space.channels, config.reduction)

    def forward(self, x: Tensor) -> Tensor:
        x = binomial_blur(x)
        if self.stride > 1:
            x = soft_pool(x, self.stride, self.temperature) if self.temperature is not None else self._means(x)
        return self.gate(x)

    def average(self, x: Tensor) -> Tensor:
        return x if self.stride == 1 else self._means(x)

    def _means(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(x, (1, self.stride, self.stride))


class LearnedPooling(Pooling):
    """A learned convolution with a spatial stride."""

    def __init__(self, config: settings.LearnedPool, space: Space) -> None:
        super().__init__(space.geometry.after(config.kernel, config.stride, config.kernel // 2))
        self.stride, self.padding = config.stride, config.kernel // 2
        self.kernel = Kernel((space.channels, space.channels, 1, config.kernel, config.kernel))
        self.bias = nn.Parameter(torch.zeros(space.channels))

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, self.padding, self.padding)
        return F.conv3d(x, self.kernel(), self.bias, stride=(1, self.stride, self.stride), padding=padding)

    def average(self, x: Tensor) -> Tensor:
        return x[..., :: self.stride, :: self.stride]


def build_pool(config: settings.Pool, space: Space) -> Pooling:
    """The pool of these settings on maps of ``space``."""
    match config:
        case settings.NoPool():
            return Pooling(space.geometry)
        case settings.WindowPool():
            return WindowPooling(config, space)
        case settings.AdaptivePool():
            return AdaptivePooling(config, space)
        case settings.SqueezeExcite():
            return SqueezeExcitePooling(config, space)
        case settings.BlurPool():
            return BlurPooling(config, space)
        case settings.LearnedPool():
            return LearnedPooling(config, space)
