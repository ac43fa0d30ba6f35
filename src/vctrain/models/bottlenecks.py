"""Inverted bottlenecks with factorised kernels, the units of an X3D network, in causal form."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vctrain.config.components.activations import Pointwise
from vctrain.config.components.blocks import Block
from vctrain.config.components.convnets import X3D, Bottlenecks
from vctrain.config.components.norms import NoNorm
from vctrain.models.activations import build_activation
from vctrain.models.blocks import ConvBlock, projection
from vctrain.models.causal import Causal, Past, resume_all
from vctrain.models.geometry import Space
from vctrain.models.pooling import Gate


def keep_branch(branch: Tensor, skipped: float) -> Tensor:
    """``branch`` ``(n, ...)`` with each clip zeroed with probability ``skipped``, the others scaled so that the mean
    stays (Huang et al. 2016, drawn clip by clip)."""
    kept = torch.rand(branch.shape[0], *[1] * (branch.ndim - 1), device=branch.device) >= skipped
    return branch * (kept / (1 - skipped)).to(branch.dtype)


class Bottleneck(Causal):
    """``(n, C, T, H, W)`` to ``(n, C', T - history, H', W')``: each channel over time, each channel over space (with
    the stride), to more channels, back to ``C'``; the input is added at the frames and positions that are left.

    Norms stand before the hidden layer and at the end of the branch: one behind each convolution would undo what the
    norm before it learned.
    """

    def __init__(self, net: X3D, stage: Bottlenecks, space: Space, stride: int) -> None:
        super().__init__()
        channels, side = space.channels, stage.spatial_kernel
        over_time = Block(
            channels=channels,
            kernel=(stage.temporal_kernel, 1, 1),
            groups=channels,
            bias=False,
            norm=NoNorm(),
            activation=Pointwise(),
        )
        over_space = Block(
            channels=channels,
            kernel=(1, side, side),
            groups=channels,
            stride=(stride, stride),
            norm=net.norm,
            activation=Pointwise(),
        )
        wider = Block(
            channels=channels * stage.expansion,
            kernel=(1, 1, 1),
            norm=NoNorm(),
            activation=net.activation,
            dropout=net.dropout,
        )
        back = Block(channels=stage.channels, kernel=(1, 1, 1), norm=net.norm, activation=Pointwise())
        self.history, self.stride, self.skipped = over_time.history, stride, net.stochastic_depth
        self.branch = nn.Sequential()
        for block in (over_time, over_space, wider, back):
            layer = ConvBlock(block, space)
            self.branch.append(layer)
            space = layer.out
        self.shortcut = projection(channels, stage.channels)
        self.activation = build_activation(net.activation)
        self.out = space

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        if self.training and self.skipped:
            branch = keep_branch(branch, self.skipped)
        carried = x[:, :, self.history :, :: self.stride, :: self.stride]
        return cast(Tensor, self.activation(self.shortcut(carried) + branch))


class BottleneckStage(nn.Module):
    """Bottlenecks one after the other, then, if asked, a squeeze-and-excitation of each frame."""

    def __init__(self, net: X3D, stage: Bottlenecks, space: Space) -> None:
        super().__init__()
        self.units = nn.ModuleList()
        for number in range(stage.depth):
            unit = Bottleneck(net, stage, space, stage.stride if number == 0 else 1)
            self.units.append(unit)
            space = unit.out
        self.gate = Gate(space.channels, stage.reduction) if stage.squeeze_excite else nn.Identity()
        self.out = space

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.units:
            x = unit(x)
        return cast(Tensor, self.gate(x))

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """As `Causal.resume`, with what each bottleneck keeps."""
        x, past = resume_all(self.units, x, past)
        return self.gate(x), past
