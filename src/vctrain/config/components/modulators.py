"""Settings of what behaviour does to the shared features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.base import Config


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
