"""Settings of the import of an NWB file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from vctrain.config.base import Config


def _file_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or any(character in name for character in "/\\\0"):
        raise ValueError("cannot name a file; leave out slashes and a leading dot")
    return name


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
    no_eye: bool = False
    degrees_per_unit: PositiveFloat | None = None
    """Degrees of visual angle in one unit of the eye tracking; None: it is in degrees, or says a unit of angle."""
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Columns of the units table, and the values of the units to take."""
    rate: PositiveFloat | None = None
    """Frames a second at which images are held; None: a frame for each time in the file."""
    crop: tuple[NonNegativeInt, NonNegativeInt, PositiveInt, PositiveInt] | None = None
    """Top row, left column, height, width of the part to keep, in stored pixels."""
    shrink: PositiveInt = 1
    """Side of the squares of pixels that are averaged into one."""
    transpose: bool = False
    """Frames are stored (x, y), not (row, column)."""
    grey: tuple[float, float] | None = None
    """The values of black and of white; None: by the range of the values."""

    @model_validator(mode="after")
    def _consistent(self) -> NwbImport:
        if self.type is not None and len(self.stimulus) > 1:
            raise ValueError("one type for several stimuli; import them one by one")
        if self.no_trials and self.trials is not None:
            raise ValueError("--no-trials leaves out what --trials names")
        if self.no_eye and (self.eye is not None or self.degrees_per_unit is not None):
            raise ValueError("--no-eye leaves out what --eye and --degrees-per-unit are about")
        if self.grey is not None and not self.grey[0] < self.grey[1]:
            raise ValueError(f"the value of black, {self.grey[0]:g}, is not below that of white, {self.grey[1]:g}")
        return self
