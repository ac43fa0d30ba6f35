"""What may stand in the self-description of a checkpoint? What it holds beyond this is kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


def _shown(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("is no name")
    return value


Name = Annotated[str, AfterValidator(_shown)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class StoredSignal(_Stored):
    """A behaviour signal, and the maxima it was normalised by."""

    source: Name
    ops: list[dict[str, Any]]
    maxima: dict[str, FiniteFloat]


class StoredTransforms(_Stored):
    """What was done to the movie and to the behaviour."""

    stim: list[dict[str, Any]]
    stim_maxima: dict[str, FiniteFloat]
    behavior: list[StoredSignal]


class StoredFilters(_Stored):
    """Which frames and units did not count."""

    settle_seconds: FiniteFloat = Field(0.0, ge=0.0)
    missing_pct: FiniteFloat | None


class StoredSplit(_Stored):
    """Which trials were trained on."""

    train_val_split: list[FiniteFloat] = Field(min_length=1, max_length=3)
    seed: NonNegativeInt
    trials: dict[str, dict[str, list[FiniteFloat]]] | None = None


class StoredSession(_Stored):
    """A session as checkpoints hold it; what a migrated one does not know is None."""

    name: Name
    subject: Name
    cids: list[NonNegativeInt] = Field(min_length=1)
    types: list[Name] | None
    rate_hz: PositiveFloat | None
    size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None
    behavior_dim: NonNegativeInt | None
    transforms: StoredTransforms | None
    filters: StoredFilters | None
    split: StoredSplit | None
    fingerprint: dict[str, str] | None
    adapter: dict[str, Any] | None
    readout: dict[str, Any] | None


class StoredOrigin(_Stored):
    """Where an exported or migrated checkpoint comes from."""

    file: Name | None = None
    generation: Name | None = None
    epoch: NonNegativeInt | None = None
    step: NonNegativeInt | None = None


class StoredContent(_Stored):
    """The whole self-description; ``model`` and ``settings`` are checked by the models that they are of."""

    format: int
    model: dict[str, Any]
    settings: dict[str, Any]
    sessions: list[StoredSession] = Field(min_length=1)
    context: NonNegativeInt
    versions: dict[str, str]
    val_bps_overall: FiniteFloat | None = None
    origin: StoredOrigin | None = None


def check_stored(content: Any) -> None:
    """Raises ValueError (pydantic's, or with the path of what is no plain value) for a damaged self-description."""
    StoredContent.model_validate(content)
    _check_plain(content, "vctrain")


def _check_plain(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{path} has a key that is no text")
            _check_plain(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, f"{path}.{index}")
    elif not isinstance(value, str | int | float) and value is not None:
        raise ValueError(f"{path} is no plain value")
