"""Settings of the import of an NWB file."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    AllowInfNan,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from vctrain.config.base import Config


def _file_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or any(character in name for character in "/\\\0"):
        raise ValueError("cannot name a file; leave out slashes and a leading dot")
    return name


Finite = Annotated[float, AllowInfNan(False)]
FinitePositive = Annotated[PositiveFloat, AllowInfNan(False)]
FileName = Annotated[str, AfterValidator(_file_name)]


class NwbImport(Config):
    """What to take from an NWB file, and how."""

    session: FileName | None = None
    """None: SUBJECT_YYYY-MM-DD."""
    stimulus: tuple[str, ...] = ()
    """Names in the file; none: the only one there is."""
    type: FileName | None = None
    """None: the name of the stimulus."""
    trials: str | None = None
    """Name of a table of intervals; None: trials."""
    no_trials: bool = False
    eye: str | None = None
    """Name of a SpatialSeries, or of what holds it; None: the only eye tracking there is."""
    degrees_per_unit: FinitePositive | None = None
    """Degrees of visual angle in one unit of the eye tracking; None: it is in degrees, or says a unit of angle."""
    no_eye: bool = False
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Columns of the units table, and the values of the units to take."""
    rate: FinitePositive | None = None
    """Frames a second at which images are held; None: a frame for each time in the file."""
    crop: tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt] | None = None
    """Top row, left column, height, width of the part to keep, in stored pixels."""
    shrink: PositiveInt = 1
    """Side of the squares of pixels that are averaged into one."""
    transpose: bool = False
    """Frames are stored (x, y), not (row, column)."""
    grey: tuple[Finite, Finite] | None = None
    """The values of black and of white; None: by the range of the values."""

    @field_validator("type")
    @classmethod
    def _one_type_for_one_stimulus(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and len(info.data.get("stimulus", ())) > 1:
            raise ValueError("cannot be the type of several stimuli; import them one by one")
        return value

    @field_validator("no_trials")
    @classmethod
    def _trials_or_none(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("trials") is not None:
            raise ValueError("leaves out what --trials names; give one of both")
        return value

    @field_validator("no_eye")
    @classmethod
    def _eye_or_none(cls, value: bool, info: ValidationInfo) -> bool:
        if value and (info.data.get("eye"), info.data.get("degrees_per_unit")) != (None, None):
            raise ValueError("leaves out what --eye and --degrees-per-unit are about; give one or the other")
        return value

    @field_validator("grey")
    @classmethod
    def _black_below_white(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("should be the value of black, and then the higher one of white")
        return value
