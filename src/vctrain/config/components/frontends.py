"""Settings of the temporal frontend."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vctrain.config.base import Config
from vctrain.config.components.windows import Window


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
