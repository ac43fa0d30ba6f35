"""Settings of what each session owns: the stimulus adapter and the readout."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vctrain.config.base import Config


class NoAdapter(Config):
    """Every session's stimulus is used as stored; all must have one size."""

    type: Literal["none"] = "none"


class AffineAdapter(Config):
    """Resample each session's stimulus onto the core's grid by a learned scale (and shift), after a learned blur."""

    type: Literal["adapter"] = "adapter"
    grid_size: PositiveInt | None = None
    """Side of the core's grid in pixels; None takes the largest stimulus side of the sessions."""
    transform: Literal["scale", "affine"] = "scale"
    """`scale`: one factor per axis and a shift; `affine`: the full matrix."""
    init_sigma: float = Field(0.5, ge=0.0)
    """Standard deviation of the blur at the start, in stimulus pixels."""
    blur: bool = True


Adapter = Annotated[NoAdapter | AffineAdapter, Field(discriminator="type")]


class GaussianReadout(Config):
    """Each unit pools the feature map under a Gaussian mask and weighs the channels (Lurz et al. 2021, mask
    variant)."""

    type: Literal["gaussian"] = "gaussian"
    bias: bool = True
    init_std: PositiveFloat = 1.0
    """Standard deviation of the mask at the start, in feature-map pixels."""


Readout = GaussianReadout


class SessionHeads(Config):
    """What one session has instead of the model's adapter and readout."""

    adapter: Adapter | None = None
    readout: Readout | None = None
