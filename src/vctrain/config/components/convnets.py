"""Settings of the convolutional stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from vctrain.config.components.activations import Activation, Pointwise
from vctrain.config.components.blocks import Block, ResidualBlock
from vctrain.config.components.component import Component
from vctrain.config.components.norms import BatchNorm, GlobalResponseNorm, Norm
from vctrain.config.components.values import OddSide

_TWICE = "would count each batch twice in norm batch: use another norm, or leave checkpointing out"


class NoConvnet(Component):
    """No convolutional stage."""

    type: Literal["none"] = "none"


class BlockNet(Component):
    """What all convnets have: a stem, then blocks."""

    type: str
    stem: Block | None = None
    blocks: tuple[Component, ...] = Field(min_length=1)
    final_activation: Activation = Pointwise()
    checkpointing: bool = False
    """Compute each block again in the backward pass rather than keep what it computed: less memory, more time."""

    @property
    def history(self) -> int:
        return sum(part.history for part in (*([self.stem] if self.stem else []), *self.blocks))

    @field_validator("checkpointing")
    @classmethod
    def _computed_once(cls, wanted: bool, info: ValidationInfo) -> bool:
        parts = (info.data.get("stem"), *info.data.get("blocks", ()))
        if wanted and any(isinstance(part, Block) and part.normalises_batches for part in parts):
            raise ValueError(_TWICE)
        return wanted


class ResNet(BlockNet):
    """A stem and blocks that add their input (He et al. 2016)."""

    type: Literal["resnet"] = "resnet"
    blocks: tuple[ResidualBlock, ...] = ()


class DenseNet(BlockNet):
    """A stem and blocks that stand beside their input: a block reads all before it (Huang et al. 2017). The channels of
    a block are those it adds."""

    type: Literal["densenet"] = "densenet"
    blocks: tuple[Block, ...] = Field(min_length=1)


class Vanilla(BlockNet):
    """A stem and blocks, one after the other."""

    type: Literal["vanilla"] = "vanilla"
    blocks: tuple[Block, ...] = Field(min_length=1)


class Bottlenecks(Component):
    """``depth`` inverted bottlenecks at one resolution; the first of them strides."""

    channels: PositiveInt
    depth: PositiveInt = 1
    temporal_kernel: PositiveInt = 5
    """Frames that the temporal convolution of each bottleneck reads, the last of them its own."""
    spatial_kernel: OddSide = 3
    stride: PositiveInt = 1
    """Spatial stride of the first bottleneck."""
    expansion: PositiveInt = 4
    """The hidden layer has this many times the channels of the input."""
    squeeze_excite: bool = False
    """Gate the channels at the end by their means over space, frame by frame."""
    reduction: PositiveInt = 16
    """Of the squeeze-and-excitation."""

    @property
    def history(self) -> int:
        return self.depth * (self.temporal_kernel - 1)


class X3D(BlockNet):
    """Inverted bottlenecks with factorised kernels: over time, over space, over channels (Feichtenhofer 2020)."""

    type: Literal["x3d"] = "x3d"
    blocks: tuple[Bottlenecks, ...] = Field(min_length=1)
    norm: Norm = GlobalResponseNorm()
    activation: Activation = Pointwise(type="silu")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    """Share of hidden channels left out of a clip in training."""
    stochastic_depth: float = Field(0.1, ge=0.0, lt=1.0)
    """Probability that a clip skips the residual branch of a bottleneck in training (Huang et al. 2016)."""

    @field_validator("norm")
    @classmethod
    def _norm_once(cls, norm: Any, info: ValidationInfo) -> Any:
        if info.data.get("checkpointing") and isinstance(norm, BatchNorm):
            raise ValueError(_TWICE)
        return norm

    @field_validator("activation")
    @classmethod
    def _same_width(cls, activation: Any) -> Any:
        if getattr(activation, "widens", 1) != 1:
            raise ValueError("should leave the number of channels as it is: a bottleneck adds its input to its output")
        return activation


Convnet = Annotated[NoConvnet | ResNet | DenseNet | Vanilla | X3D, Field(discriminator="type")]
