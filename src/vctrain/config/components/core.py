"""Settings of the shared core: temporal frontend, convolutional blocks, modulator and recurrent stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vctrain.config.base import Config

Window = Literal["none", "hann", "hamming", "kaiser"]


class NoFrontend(Config):
    """The stimulus reaches the convnet frame by frame."""

    type: Literal["none"] = "none"


class LearnableTemporal(Config):
    """A bank of causal temporal kernels, shared by all pixels."""

    type: Literal["learnable_temporal"] = "learnable_temporal"
    kernel_size: PositiveInt = 16
    num_channels: PositiveInt = 4
    init: Literal["gaussian_derivatives", "biphasic", "random"] = "gaussian_derivatives"
    window: Window = "hann"
    window_power: PositiveFloat = 0.25
    bias: bool = False


Frontend = Annotated[NoFrontend | LearnableTemporal, Field(discriminator="type")]


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


class NoModulator(Config):
    """Behaviour is not used."""

    type: Literal["none"] = "none"


class _BehaviorEncoder(Config):
    """The two-layer perceptron that reads the behaviour of a frame."""

    hidden: PositiveInt = 64
    out: PositiveInt = 32
    dropout: float = Field(0.0, ge=0.0, lt=1.0)


class Concat(_BehaviorEncoder):
    """Behaviour features are appended to the channels of every position."""

    type: Literal["concat"] = "concat"


class Film(_BehaviorEncoder):
    """Behaviour scales and shifts every channel (identity at the start)."""

    type: Literal["film"] = "film"


Modulator = Annotated[NoModulator | Concat | Film, Field(discriminator="type")]


class NoRecurrent(Config):
    """Only the frames of the receptive field in time matter."""

    type: Literal["none"] = "none"


class ConvGRU(Config):
    """A convolutional gated recurrent unit over frames, with normalised input and a path around it."""

    type: Literal["convgru"] = "convgru"
    hidden: PositiveInt = 32
    kernel: PositiveInt = 3
    warmup: PositiveInt = 24
    """Frames run before the first scored one so that the state forgets that it started at zero."""


Recurrent = Annotated[NoRecurrent | ConvGRU, Field(discriminator="type")]
