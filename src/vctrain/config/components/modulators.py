"""Settings of what behaviour does to the shared features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.components.component import Component
from vctrain.config.components.values import LayerActivation, OddSide


class NoModulator(Component):
    """Behaviour is not used."""

    type: Literal["none"] = "none"


class BehaviorReader(Component):
    """The perceptron that reads the behaviour of a frame, after standardisation; what every modulator has."""

    dims: tuple[PositiveInt, ...] = Field((64, 32), min_length=1)
    """Units of each layer; the last are the features of behaviour."""
    activation: LayerActivation = "gelu"
    residual: bool = False
    """A layer as wide as its input adds its input."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """After every layer but the last."""
    last_layer_activation: bool = True


class Concat(BehaviorReader):
    """Behaviour features are appended to the channels of every position."""

    type: Literal["concat"] = "concat"


class Film(BehaviorReader):
    """Behaviour scales and shifts every channel (identity at the start)."""

    type: Literal["film"] = "film"


class Stn(BehaviorReader):
    """Behaviour moves the feature map of each frame by an affine map, blended channel by channel with the unmoved one
    (a spatial transformer; identity at the start)."""

    type: Literal["stn"] = "stn"


class BehaviorGRU(BehaviorReader):
    """A convolutional GRU over frames reads features and behaviour; its state replaces the features."""

    type: Literal["convgru"] = "convgru"
    dims: tuple[PositiveInt, ...] = Field((16,), min_length=1)
    last_layer_activation: bool = False
    hidden: PositiveInt = 32
    """Channels of the state."""
    kernel: OddSide = 3
    """Side of its kernels in pixels, odd."""
    warmup: PositiveInt = 24
    """Frames run before the first scored one so that the state forgets that it started at zero."""

    @property
    def history(self) -> int:
        return self.warmup


class PredictiveCoding(BehaviorReader):
    """A convolutional GRU predicts each frame's features from the features and behaviour of the frames before it; the
    error of the prediction stands beside the features, or replaces them."""

    type: Literal["pc"] = "pc"
    dims: tuple[PositiveInt, ...] = Field((16,), min_length=1)
    last_layer_activation: bool = False
    hidden: PositiveInt = 32
    """Channels of the predictor's state."""
    kernel: OddSide = 3
    """Side of its kernels in pixels, odd."""
    warmup: PositiveInt = 24
    """Frames run before the first scored one so that the state forgets that it started at zero."""
    concat_error: bool = True
    """Append the error to the features; false: the error alone."""

    @property
    def history(self) -> int:
        return self.warmup


Modulator = Annotated[NoModulator | Concat | Film | Stn | BehaviorGRU | PredictiveCoding, Field(discriminator="type")]
