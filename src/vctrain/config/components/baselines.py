"""Settings of a rate that every unit has whatever it sees."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from vctrain.config.components.component import Component


class NoBaseline(Component):
    """Rates are the output activation of the drive."""

    type: Literal["none"] = "none"


class LearnedBaseline(Component):
    """A non-negative rate of each unit is added to the output activation."""

    type: Literal["learned"] = "learned"
    activation: Literal["relu", "softplus"] = "softplus"
    """What keeps it from being negative; `relu` stops learning at zero."""
    init: PositiveFloat = 0.001
    """Spikes a bin at the start."""


Baseline = Annotated[NoBaseline | LearnedBaseline, Field(discriminator="type")]
