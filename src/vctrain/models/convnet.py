"""The convolutional stage: a stem and blocks, joined one after the other, by shortcuts, or side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vctrain.config.components.blocks import ResidualBlock
from vctrain.config.components.convnets import X3D, Bottlenecks, DenseNet, ResNet, Vanilla
from vctrain.models.activations import build_activation
from vctrain.models.blocks import ConvBlock, DenseConvBlock, ResidualConvBlock
from vctrain.models.bottlenecks import BottleneckStage
from vctrain.models.causal import Past, resume_all
from vctrain.models.geometry import Space
from vctrain.models.registry import builds


def _blocks(config: ResNet | DenseNet | Vanilla | X3D, space: Space) -> Iterator[ConvBlock | BottleneckStage]:
    """The blocks of ``config``, each reading what the one before it writes."""
    for settings in config.blocks:
        block: ConvBlock | BottleneckStage
        if isinstance(settings, Bottlenecks):
            assert isinstance(config, X3D)
            block = BottleneckStage(config, settings, space)
        elif isinstance(settings, ResidualBlock):
            block = ResidualConvBlock(settings, space)
        else:
            block = (DenseConvBlock if isinstance(config, DenseNet) else ConvBlock)(settings, space)
        yield block
        space = block.out


@builds(ResNet, DenseNet, Vanilla, X3D)
class Convnet(nn.Module):
    """A stem and blocks over ``(n, C, T, H, W)``, in channels-last layout (faster for 3-D convolutions on CPU and GPU).

    ``out`` is the `Space` it writes, ``history`` the number of leading frames it drops. Raises `UsageError` where a
    block has no pixel left to write.
    """

    def __init__(self, config: ResNet | DenseNet | Vanilla | X3D, space: Space) -> None:
        super().__init__()
        self.history, self.checkpointing = config.history, config.checkpointing
        self.stem = None if config.stem is None else ConvBlock(config.stem, space)
        space = space if self.stem is None else self.stem.out
        blocks = list(_blocks(config, space))
        self.blocks = nn.ModuleList(blocks)
        space = blocks[-1].out if blocks else space
        self.final_activation = build_activation(config.final_activation)
        self.out = Space(space.channels * config.final_activation.widens, space.geometry)

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last_3d)
        x = x if self.stem is None else self.stem(x)
        for block in self.blocks:
            again = self.checkpointing and self.training
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return cast(Tensor, self.final_activation(x))

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """As `Causal.resume`, with what stem and blocks keep: none computes a frame twice."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        stages = [*self.blocks] if self.stem is None else [self.stem, *self.blocks]
        x, past = resume_all(stages, x, past)
        return self.final_activation(x), past
