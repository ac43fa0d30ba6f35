"""Settings of how each session's stimulus is brought onto the core's grid."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.components.component import Component


class NoAdapter(Component):
    """Every session's stimulus is used as stored; all must have one size."""

    type: Literal["none"] = "none"


class AffineAdapter(Component):
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
