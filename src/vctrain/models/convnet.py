"""The convolutional stage: blocks of causal, time-unpadded 3-D convolutions with spatial pooling and shortcuts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.convnets import Block, ResNet
from vctrain.models.geometry import Geometry
from vctrain.models.kernels import Kernel
from vctrain.models.norms import build_norm


class SplitReLU(nn.Module):
    """Positive and negative parts as separate channels: ON and OFF pathways, twice the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.relu(x), F.relu(-x)], dim=1)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "splitrelu": SplitReLU,
}


def pool_space(x: Tensor, kind: str) -> Tensor:
    """2x2 pooling of ``(n, C, T, H, W)`` over space, frame by frame; a trailing odd row or column is dropped."""
    if kind == "none":
        return x
    pool = F.max_pool3d if kind == "max" else F.avg_pool3d
    return pool(x, (1, 2, 2), (1, 2, 2))


class ConvBlock(nn.Module):
    """``(n, C, T, H, W)`` to ``(n, C', T - taps + 1, H', W')``: convolution, norm, activation, pooling, shortcut.

    Time is neither padded nor strided: the output at a frame depends on that frame and the ``taps - 1`` before it. The
    shortcut drops the same number of leading frames, pools the same way, and projects when shapes differ.
    """

    def __init__(self, config: Block, in_channels: int, geometry: Geometry, residual: bool) -> None:
        super().__init__()
        taps, height, width = config.kernel
        self.taps, self.stride, self.pool = taps, config.stride, config.pool
        self.padding = (height // 2, width // 2) if config.padding == "same" else (0, 0)
        self.kernel = Kernel(
            (config.channels, in_channels, *config.kernel),
            window=config.window,
            window_power=config.window_power,
            weight_norm=config.weight_norm,
        )
        self.bias = nn.Parameter(torch.zeros(config.channels)) if config.norm == "none" else None
        self.norm = build_norm(config.norm, config.channels)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = nn.Dropout3d(config.dropout) if config.dropout else nn.Identity()
        self.out_channels = config.channels * (2 if config.activation == "splitrelu" else 1)
        self.crop = (height // 2, width // 2) if config.padding == "valid" else (0, 0)
        out = geometry.after(height, config.stride, self.padding[0])
        self.geometry = out if config.pool == "none" else out.after(2, 2, 0)
        self.residual = residual and config.residual
        project = self.residual and in_channels != self.out_channels
        self.shortcut = nn.Conv3d(in_channels, self.out_channels, 1, bias=False) if project else None

    def _shortcut(self, x: Tensor) -> Tensor:
        """The input at the output's frames and positions."""
        y, (crop_y, crop_x) = x[:, :, self.taps - 1 :], self.crop
        y = y[:, :, :, crop_y : y.shape[3] - crop_y, crop_x : y.shape[4] - crop_x]
        if self.stride > 1:
            y = y[..., :: self.stride, :: self.stride]
        if self.pool != "none":
            y = pool_space(y, "avg")
        return y if self.shortcut is None else self.shortcut(y)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv3d(x, self.kernel(), self.bias, stride=(1, self.stride, self.stride), padding=(0, *self.padding))
        y = self.dropout(pool_space(self.activation(self.norm(y)), self.pool))
        return y + self._shortcut(x) if self.residual else y


class ResNetCore(nn.Module):
    """Stem and residual blocks, in channels-last layout (faster for 3-D convolutions on CPU and GPU)."""

    def __init__(self, config: ResNet, in_channels: int, geometry: Geometry) -> None:
        super().__init__()
        channels = in_channels
        self.stem: ConvBlock | None = None
        if config.stem is not None:
            self.stem = ConvBlock(config.stem, channels, geometry, residual=False)
            channels, geometry = self.stem.out_channels, self.stem.geometry
        self.blocks = nn.ModuleList()
        for block in config.blocks:
            layer = ConvBlock(block, channels, geometry, residual=True)
            self.blocks.append(layer)
            channels, geometry = layer.out_channels, layer.geometry
        stages = [*([config.stem] if config.stem else []), *config.blocks]
        self.history = sum(stage.kernel[0] - 1 for stage in stages)
        self.out_channels = channels
        self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        if self.stem is not None:
            x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x
