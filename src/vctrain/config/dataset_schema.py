"""What may stand in a dataset YAML?"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from vctrain.config.base import Config
from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout
from vctrain.config.old_spellings import flat_component
from vctrain.config.transforms import Lags, Transform

SLOWEST_HZ, FASTEST_HZ = 0.1, 1e5
"""No frame rate lies outside."""
_LARGEST_SEED = 2**63 - 1
_LONGEST_NAME = 200

Rate = Annotated[float, Field(ge=SLOWEST_HZ, le=FASTEST_HZ)]


def _file_name(value: str) -> str:
    if not value.isprintable() or value.strip() in ("", ".", "..") or "/" in value or len(value) > _LONGEST_NAME:
        raise ValueError("it names a folder or file, so it is short and printable, and holds no slash")
    return value


Name = Annotated[str, AfterValidator(_file_name)]
"""The name of a session or of a stimulus type."""


class Sampling(Config):
    """Rate of the files and rate of the twin, in frames a second; an integer factor apart."""

    source_rate: Rate
    target_rate: Rate


class ValidNlags(Config):
    """Frames whose past is valid; for current twins the model's own context decides how far it reaches."""

    n_lags: NonNegativeInt = 1


class MissingPct(Config):
    """Units whose spikes are not lost to the detection threshold."""

    threshold: float = Field(45.0, gt=0, allow_inf_nan=False)
    """Percent of missing spikes from which a unit does not count."""
    source: str | None = None
    """A covariate, or an npz file in the session's folder; None: the covariate missing_pct, else missing_pct.npz."""


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


def _fractions(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _shares_of_trials(value: tuple[float, ...]) -> tuple[float, ...]:
    if not 1 <= len(value) <= 3 or any(not 0 < share < 1 for share in value):
        raise ValueError("expected the fraction of trials to train on, or [train, val, test], each between 0 and 1")
    if len(value) > 1 and abs(sum(value) - 1) > 1e-6:
        raise ValueError(f"the fractions add up to {sum(value):g}, not to 1")
    return value[:1] if len(value) == 2 else value


Fractions = Annotated[tuple[float, ...], BeforeValidator(_fractions), AfterValidator(_shares_of_trials)]
"""(train,) or (train, val, test); what (train,) leaves is for validation."""


def _component(value: Any) -> Any:
    return flat_component(value) if isinstance(value, dict) else value


class DatasetFile(Config):
    """A dataset YAML: one session, or (in a parent) what its sessions share."""

    session: Name | None = None
    lab: str = "yates"
    eye: Any = None
    types: tuple[Name, ...] | None = Field(default=None, min_length=1)
    cids: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    sampling: Sampling | None = None
    keys_lags: Lags = Field(default_factory=dict)
    transforms: dict[str, Transform] = Field(default_factory=dict)
    datafilters: dict[str, DataFilter] = Field(default_factory=dict)
    train_val_split: Fractions = (0.8,)
    seed: int = Field(1002, ge=0, le=_LARGEST_SEED)
    n_lags: PositiveInt | None = None
    data_root: str | None = None
    adapter: Annotated[Adapter | None, BeforeValidator(_component)] = None
    readout: Annotated[Readout | None, BeforeValidator(_component)] = None
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
    sessions: tuple[Name, ...] = Field(min_length=1)

    @field_validator("sessions")
    @classmethod
    def _sessions_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise ValueError(f"sessions listed twice: {', '.join(twice)}")
        return value
