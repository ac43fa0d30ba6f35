"""One convolution with norm, activation, dropout and pooling; the same with its input added, or beside its input."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.blocks import Block, ResidualBlock
from vctrain.errors import UsageError
from vctrain.models.activations import SplitReLU, build_activation
from vctrain.models.causal import Causal
from vctrain.models.geometry import Space
from vctrain.models.kernels import Kernel
from vctrain.models.norms import build_norm
from vctrain.models.pooling import build_pool


class ConvBlock(Causal):
    """``(n, C, T, H, W)`` to ``(n, C', T - history, H', W')``: convolution, norm, activation, dropout, pooling.

    Time is neither padded nor strided: the output at a frame depends on that frame and the ``history`` before it. A
    depthwise convolution has one kernel for each input channel and then mixes the channels of each pixel (Chollet
    2017). Raises `UsageError` where groups do not divide the input's channels or no pixel is left.
    """

    def __init__(self, config: Block, space: Space) -> None:
        super().__init__()
        taps, height, width = config.kernel
        self.taps, self.history, self.dilation = taps, config.history, config.dilation
        self.stride = config.stride[0]
        depthwise = config.conv == "depthwise"
        self.groups = space.channels if depthwise else config.groups
        if space.channels % self.groups:
            raise UsageError(
                f"groups {self.groups} of a block do not divide the {space.channels} channels it reads",
                hint="change groups, or the channels of the block before",
            )
        kernel = partial(Kernel, weight_norm=config.weight_norm, keep_unit_norm=config.keep_unit_norm)
        filters = space.channels if depthwise else config.channels
        self.kernel = kernel(
            (filters, space.channels // self.groups, *config.kernel),
            window=config.window,
            window_power=config.window_power,
        )
        self.pointwise = kernel((config.channels, space.channels, 1, 1, 1)) if depthwise else None
        self.bias = nn.Parameter(torch.zeros(config.channels)) if config.has_bias else None
        self.norm = build_norm(config.norm, config.channels)
        self.activation = build_activation(config.activation)
        self.dropout = nn.Dropout3d(config.dropout) if config.dropout else nn.Identity()
        channels = config.channels * config.activation.widens
        reach = (config.dilation[1] * (height // 2), config.dilation[2] * (width // 2))
        self.padding = (0, 0) if config.padding == "valid" else reach
        self.crop = reach if config.padding == "valid" else (0, 0)
        self.replicates = config.padding == "replicate" and reach != (0, 0)
        convolved = space.geometry.after(2 * reach[0] + 1, self.stride, self.padding[0])
        self.pool = build_pool(config.pool, Space(channels, convolved))
        self.out = Space(channels, self.pool.out)
        if convolved.size < 1 or self.out.geometry.size < 1:
            raise UsageError(
                f"a block with kernel {list(config.kernel)} leaves no feature map of the "
                f"{space.geometry.size}x{space.geometry.size} pixels it reads",
                hint="raise model.adapter.grid_size, or pad ('same') or pool less in model.convnet",
            )

    def carried(self, x: Tensor) -> Tensor:
        """The input at the frames and positions that the block writes: without the frames that its taps consume,
        cropped, strided and averaged as the main path is (legacy shortcuts strode time where only space was pooled)."""
        y, (crop_y, crop_x) = x[:, :, self.history :], self.crop
        y = y[:, :, :, crop_y : y.shape[3] - crop_y, crop_x : y.shape[4] - crop_x]
        if self.stride > 1:
            y = y[..., :: self.stride, :: self.stride]
        return self.pool.average(y)

    def _convolve(self, x: Tensor) -> Tensor:
        pad_y, pad_x = self.padding
        if self.replicates:
            x, pad_y, pad_x = F.pad(x, (pad_x, pad_x, pad_y, pad_y, 0, 0), mode="replicate"), 0, 0
        bias = self.bias if self.pointwise is None else None
        stride, padding = (1, self.stride, self.stride), (0, pad_y, pad_x)
        y = F.conv3d(x, self.kernel(), bias, stride, padding, self.dilation, self.groups)
        return y if self.pointwise is None else F.conv3d(y, self.pointwise(), self.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self._convolve(x))
        if self.pool.largest and isinstance(self.activation, SplitReLU) and not self._drops():
            # the same values and gradients, without writing out what is pooled away
            return self.activation.of_largest(y, self.pool)
        return cast(Tensor, self.pool(self.dropout(self.activation(y))))

    def _drops(self) -> bool:
        return self.training and not isinstance(self.dropout, nn.Identity)


def projection(channels: int, out: int) -> nn.Module:
    """From ``channels`` to ``out`` channels at every pixel, for shortcuts; nothing where they are as many."""
    return nn.Identity() if channels == out else nn.Conv3d(channels, out, 1, bias=False)


class ResidualConvBlock(ConvBlock):
    """A `ConvBlock` that adds its input at the frames and positions it writes (He et al. 2016)."""

    def __init__(self, config: ResidualBlock, space: Space) -> None:
        super().__init__(config, space)
        self.residual = config.residual
        if config.residual:
            self.shortcut = projection(space.channels, self.out.channels)
            self.shortcut_norm = build_norm(config.shortcut_norm, self.out.channels)
        self.post_activation = build_activation(config.post_activation)
        self.out = Space(self.out.channels * config.post_activation.widens, self.out.geometry)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.residual:
            y = y + self.shortcut_norm(self.shortcut(self.carried(x)))
        return cast(Tensor, self.post_activation(y))


class DenseConvBlock(ConvBlock):
    """A `ConvBlock` whose output follows the channels of its input, at the frames and positions that are left (Huang et
    al. 2017)."""

    def __init__(self, config: Block, space: Space) -> None:
        super().__init__(config, space)
        self.out = Space(space.channels + self.out.channels, self.out.geometry)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.carried(x), super().forward(x)], dim=1)
