"""Settings of the memory beyond the receptive field in time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.base import Config


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
