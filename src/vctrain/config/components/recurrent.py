"""Settings of the memory beyond the receptive field in time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.components.component import Component
from vctrain.config.components.values import OddSide


class NoRecurrent(Component):
    """Only the frames of the receptive field in time matter."""

    type: Literal["none"] = "none"


class _Memory(Component):
    """What the recurrent stages share."""

    hidden: PositiveInt = 32
    """Channels of the state."""
    kernel: OddSide = 3
    """Side of the kernels in pixels, odd."""
    warmup: PositiveInt = 24
    """Frames run before the first scored one so that the state forgets that it started at zero."""

    @property
    def history(self) -> int:
        return self.warmup


class ConvGRU(_Memory):
    """A convolutional gated recurrent unit over frames, with normalised input and a path around it."""

    type: Literal["convgru"] = "convgru"
    layers: PositiveInt = 1
    """Units on top of each other; the state of the last is read."""


class ConvLSTM(_Memory):
    """A convolutional long short-term memory over frames, with normalised input and a path around it."""

    type: Literal["convlstm"] = "convlstm"


Recurrent = Annotated[NoRecurrent | ConvGRU | ConvLSTM, Field(discriminator="type")]
