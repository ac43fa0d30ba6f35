"""Settings of the convolutional stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vctrain.config.base import Config
from vctrain.config.components.windows import Window


class Block(Config):
    """One convolution with its norm, activation and spatial pooling; temporal taps look backwards only."""

    channels: PositiveInt
    kernel: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 3, 3)
    """(time, height, width) taps."""
    stride: PositiveInt = 1
    """Spatial stride; time is never strided."""
    padding: Literal["same", "valid"] = "same"
    """Spatial padding (zeros = mean grey); time is never padded."""
    norm: Literal["none", "rms", "grn"] = "rms"
    activation: Literal["none", "relu", "silu", "gelu", "softplus", "splitrelu"] = "splitrelu"
    pool: Literal["none", "max", "avg"] = "none"
    """Spatial 2x2 pooling with stride 2."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    window: Window = "none"
    """Anti-aliasing window on kernel axes of five taps or more; taps the window sets to zero are never computed."""
    window_power: PositiveFloat = 1.0
    weight_norm: bool = False
    residual: bool = True
    """Add a projected shortcut (the stem has none)."""


class NoConvnet(Config):
    """No convolutional stage."""

    type: Literal["none"] = "none"


class ResNet(Config):
    """A stem and residual blocks."""

    type: Literal["resnet"] = "resnet"
    stem: Block | None = None
    blocks: tuple[Block, ...] = ()


Convnet = Annotated[NoConvnet | ResNet, Field(discriminator="type")]
