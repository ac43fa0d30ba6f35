"""Settings of how units read the shared features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from vctrain.config.components.component import Component


class GaussianReadout(Component):
    """Each unit pools the feature map under a Gaussian mask and weighs the channels (Lurz et al. 2021, mask
    variant)."""

    type: Literal["gaussian"] = "gaussian"
    bias: bool = True
    init_std: PositiveFloat = 1.0
    """Standard deviation of the mask at the start, in feature-map pixels."""


class _OpposedReadout(Component):
    """What the readouts with an excitatory and an inhibitory mask share; their channel weights cannot be negative."""

    bias: bool = True
    init_std: PositiveFloat = 2.0
    """Standard deviation of the excitatory mask at the start, in feature-map pixels."""
    init_std_inhibitory: PositiveFloat = 3.0
    """That of the inhibitory mask."""
    constraint: Literal["relu", "softplus"] = "relu"
    """What keeps weights from being negative: `relu` lets them be exactly zero, `softplus` never stops their
    gradient."""


class GaussianEIReadout(_OpposedReadout):
    """Excitation less inhibition, each under its own Gaussian mask with non-negative channel weights."""

    type: Literal["gaussianei"] = "gaussianei"


class GaussianSNReadout(_OpposedReadout):
    """Excitation divided by a constant plus inhibition, with noise in the divisor while training (stochastic
    normalisation)."""

    type: Literal["gaussiansn"] = "gaussiansn"
    init_beta: PositiveFloat = 1.0
    """The constant at the start; below it inhibition hardly divides."""
    init_noise: PositiveFloat = 0.05
    """Standard deviation of the divisor's noise at the start."""


class LinearReadout(Component):
    """Each unit weighs the channels, averaged over space; it has no place."""

    type: Literal["linear"] = "linear"
    bias: bool = True


Readout = Annotated[
    GaussianReadout | GaussianEIReadout | GaussianSNReadout | LinearReadout, Field(discriminator="type")
]
