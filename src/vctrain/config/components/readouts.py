"""Settings of how units read the shared features."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat

from vctrain.config.base import Config


class GaussianReadout(Config):
    """Each unit pools the feature map under a Gaussian mask and weighs the channels (Lurz et al. 2021, mask
    variant)."""

    type: Literal["gaussian"] = "gaussian"
    bias: bool = True
    init_std: PositiveFloat = 1.0
    """Standard deviation of the mask at the start, in feature-map pixels."""


Readout = GaussianReadout
