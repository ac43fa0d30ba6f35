"""Settings of simulated sessions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from vctrain.config.base import Config

StimulusType = Literal["gaborium", "backimage", "fixrsvp", "gratings"]


class SimulationConfig(Config):
    """What `vctrain simulate` writes; the same settings and seed give the same bytes."""

    sessions: PositiveInt = 4
    units: PositiveInt = 24
    """Units a session."""
    minutes: PositiveFloat = 8.0
    """Minutes a session, shared equally by its stimulus types."""
    size: int = Field(32, ge=16)
    """Side of the gaze-centred stimulus patch, in pixels."""
    rate: float = Field(120.0, ge=20.0, le=1000.0)
    """Frames a second; below 20 the units' temporal kernels would not be resolved."""
    types: tuple[StimulusType, ...] = Field(("gaborium", "backimage"), min_length=1)
    seed: NonNegativeInt = 0

    @field_validator("types")
    @classmethod
    def _each_type_once(cls, types: tuple[StimulusType, ...]) -> tuple[StimulusType, ...]:
        if len(set(types)) != len(types):
            raise ValueError("names a stimulus type twice")
        return types
