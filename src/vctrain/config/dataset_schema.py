"""What may stand in a dataset YAML?"""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from vctrain.config.base import Config
from vctrain.config.transforms import Transform


class Sampling(Config):
    """Rate of the files and rate of the twin, in frames a second; an integer factor apart."""

    source_rate: PositiveFloat
    target_rate: PositiveFloat


class ValidNlags(Config):
    """Frames whose past is valid; for current twins the model's own context decides how far it reaches."""

    n_lags: NonNegativeInt = 1


class MissingPct(Config):
    """Units whose spikes are not lost to the detection threshold."""

    threshold: PositiveFloat = 45.0


_SCALAR_FIELD = {"valid_nlags": "n_lags", "missing_pct": "threshold"}


class FilterOp(Config):
    """One operation of a data filter, written `{name: settings}` or `{name: number}`."""

    valid_nlags: ValidNlags | None = None
    missing_pct: MissingPct | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError("a filter operation is written {name: settings}, one to a list item")
        ((name, settings),) = value.items()
        if settings is None:
            return {name: {}}
        if name in _SCALAR_FIELD and isinstance(settings, int | float) and not isinstance(settings, bool):
            return {name: {_SCALAR_FIELD[name]: settings}}
        return value


class DataFilter(Config):
    """Operations joined by AND."""

    ops: tuple[FilterOp, ...] = ()
    expose_as: str = "dfs"


class DatasetFile(Config):
    """A dataset YAML: one session, or (in a parent) what its sessions share."""

    session: str | None = None
    lab: str = "yates"
    eye: Any = None
    types: tuple[str, ...] | None = Field(default=None, min_length=1)
    cids: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    sampling: Sampling | None = None
    keys_lags: dict[str, int | tuple[int, ...] | None] = Field(default_factory=dict)
    transforms: dict[str, Transform] = Field(default_factory=dict)
    datafilters: dict[str, DataFilter] = Field(default_factory=dict)
    train_val_split: float = Field(default=0.8, gt=0.0, lt=1.0)
    seed: NonNegativeInt = 1002
    n_lags: PositiveInt | None = None
    data_root: str | None = None
    adapter: dict[str, Any] | None = None
    readout: dict[str, Any] | None = None
    visual: Any = None
    qcmissing: Any = None
    qccontam: Any = None
    snr: Any = None
    missingth: Any = None
    contamth: Any = None
    cids_qc: Any = None

    @field_validator("cids", "types")
    @classmethod
    def _each_once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        twice = sorted({item for item in value or () if (value or ()).count(item) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(map(str, twice))}")
        return value


class ParentFile(DatasetFile):
    """A parent YAML: what its sessions share, and which sessions."""

    session_dir: str
    sessions: tuple[str, ...] = Field(min_length=1)

    @field_validator("sessions")
    @classmethod
    def _sessions_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise ValueError(f"sessions listed twice: {', '.join(twice)}")
        return value
