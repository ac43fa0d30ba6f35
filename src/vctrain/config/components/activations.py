"""Settings of nonlinearities: a name, or a mapping where one has settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from vctrain.config.components.named import BY_NAME, Named


class Pointwise(Named):
    """A nonlinearity without settings; `square` is that of energy models."""

    type: Literal["none", "relu", "leakyrelu", "gelu", "sigmoid", "tanh", "silu", "mish", "softplus", "square"] = "none"

    @property
    def widens(self) -> int:
        """Channels that leave for each that enters."""
        return 1


class BoundedSoftplus(Named):
    """``softplus(beta * x) / beta`` with a learned sharpness ``beta`` between 0.1 and 10."""

    type: Literal["bsoftplus"] = "bsoftplus"
    init_beta: PositiveFloat = Field(1.0, gt=0.1, lt=10.0)

    @property
    def widens(self) -> int:
        """Channels that leave for each that enters."""
        return 1


class SplitRelu(Named):
    """Positive and negative parts as separate channels: ON and OFF pathways, twice the channels."""

    type: Literal["splitrelu"] = "splitrelu"
    trainable_gain: bool = False
    """One learned gain of the ON pathway."""

    @property
    def widens(self) -> int:
        """Channels that leave for each that enters."""
        return 2


Activation = Annotated[Pointwise | BoundedSoftplus | SplitRelu, Field(discriminator="type"), BY_NAME]
