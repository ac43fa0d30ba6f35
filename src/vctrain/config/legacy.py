"""Settings of a twin that computes as the system before this one did: what its model YAMLs say, and which code ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, NonNegativeInt, PositiveFloat, model_validator

from vctrain.config.base import Config
from vctrain.config.legacy_blocks import LegacyBlock, LegacyKernel, Name, Tolerant
from vctrain.config.legacy_parts import (
    LegacyAnyAdapter,
    LegacyAnyConvnet,
    LegacyAnyFrontend,
    LegacyAnyModulator,
    LegacyAnyReadout,
    LegacyAnyRecurrent,
    LegacyGaussian,
    LegacyHistory,
    LegacyRecurrent,
    LegacyTemporal,
    NoPart,
    as_component,
)
from vctrain.config.model import ModelConfig
from vctrain.config.problems import check
from vctrain.errors import UsageError

Semantics = Literal["old", "old-antialias", "head"]


def _history(value: Any) -> Any:
    return {} if value is None else as_component(value)


class LegacyBaseline(Config):
    """A positive rate of each unit that is added to what it predicts."""

    enabled: bool = False
    activation: Literal["relu", "softplus"] = "relu"
    init_value: float = 0.001


class LegacyHeads(Config):
    """What one session has instead of the model's adapter and readout."""

    adapter: LegacyAnyAdapter | None = None
    readout: LegacyAnyReadout | None = None


class LegacyModelConfig(Tolerant):
    """A legacy twin: the model description as the old system read it, and what it left to the code and the data.

    Keys of the description that the old system passed over are kept as they are; `ignored_keys` lists them.
    """

    semantics: Semantics
    """Which code computes: ``old`` (until 2025-10-08), ``old-antialias`` (the week after: temporal kernels are tapered
    and low-passed), ``head`` (from 2025-10-20 on)."""
    lags: tuple[NonNegativeInt, ...] = Field(min_length=1)
    """How many frames in the past each frame of a window lies, newest first; the last is the twin's context."""
    history_lags: tuple[NonNegativeInt, ...] | None = None
    """The same for spikes; None: 1 to ``num_lags`` of the history encoder."""
    rms_affine: bool | None = None
    """Whether norms of type rms have a gain and an offset. None: as the semantics have it."""
    softpool_temperature: PositiveFloat | None = None
    """By what features are divided before their exponential weighs them in a pool. None: 1, or 10 in ``head``."""
    heads: dict[str, LegacyHeads] = Field(default_factory=dict)
    """What the dataset configs of some sessions have instead of ``adapter`` and ``readout``."""

    model_type: Literal["v1", "v1multi", "v1multi_history"] = "v1"
    sampling_rate: PositiveFloat = 240
    initial_input_channels: int = Field(1, ge=1)
    height: int | None = None
    width: int | None = None
    adapter: LegacyAnyAdapter = NoPart()
    frontend: LegacyAnyFrontend = NoPart()
    convnet: LegacyAnyConvnet = NoPart()
    modulator: LegacyAnyModulator = NoPart()
    recurrent: LegacyAnyRecurrent = NoPart()
    readout: LegacyAnyReadout = LegacyGaussian()
    output_activation: Name = "none"
    baseline: Annotated[LegacyBaseline, BeforeValidator(lambda value: value or {})] = LegacyBaseline()
    regularization: Annotated[list[dict[str, JsonValue]], BeforeValidator(lambda value: value or [])] = Field(
        default_factory=list
    )
    """Kept as it was; not read."""
    lambda_pred: float = 0.1
    """Weight of the auxiliary loss of predictive coding."""
    history_encoder: Annotated[LegacyHistory, BeforeValidator(_history)] = LegacyHistory()

    @property
    def context(self) -> int:
        """Frames the twin needs before the first it can score."""
        return self.lags[-1]

    @property
    def reads_stimulus(self) -> bool:
        """Whether it reads the movie: a modulator that stands alone gets ones instead."""
        empty = all(isinstance(part, NoPart) for part in (self.adapter, self.frontend, self.convnet))
        return isinstance(self.modulator, NoPart) or not empty

    @property
    def spike_lags(self) -> tuple[int, ...]:
        """Lags of the spikes it reads, newest first; none where it reads no spikes."""
        if self.model_type != "v1multi_history":
            return ()
        return self.history_lags or tuple(range(1, self.history_encoder.params.num_lags + 1))

    @property
    def behavior_dim(self) -> int:
        """Behaviour variables that a modulator reads of a frame; 0 without one."""
        return 0 if isinstance(self.modulator, NoPart) else self.modulator.params.width

    @property
    def log_rate(self) -> bool:
        """Whether the model's output is the logarithm of the rate."""
        return self.output_activation.lower() in ("none", "identity")

    def adapter_of(self, session: str) -> NoPart | Any:
        """The adapter of a session, its own or the model's."""
        heads = self.heads.get(session)
        return self.adapter if heads is None or heads.adapter is None else heads.adapter

    def readout_of(self, session: str) -> Any:
        """The readout of a session, its own or the model's."""
        heads = self.heads.get(session)
        return self.readout if heads is None or heads.readout is None else heads.readout

    @model_validator(mode="after")
    def _check_lags(self) -> LegacyModelConfig:
        for name, lags in (("lags", self.lags), ("history_lags", self.history_lags or ())):
            if list(lags) != sorted(set(lags)):
                raise UsageError(
                    f"{name} is {list(lags)}: lags rise, the newest frame first", hint="take the dataset config's list"
                )
        if self.history_lags is not None and len(self.history_lags) != self.history_encoder.params.num_lags:
            raise UsageError(
                f"history_lags has {len(self.history_lags)} lags, history_encoder.params.num_lags is "
                f"{self.history_encoder.params.num_lags}",
                hint="take the list of the dataset configs that the model was trained with",
            )
        return self

    @model_validator(mode="after")
    def _check_semantics(self) -> LegacyModelConfig:
        foreign = list(_foreign(self))
        if foreign:
            raise UsageError(
                f"code of semantics {self.semantics} knew no {', '.join(foreign)}",
                hint=f"semantics {'old' if self.semantics == 'head' else 'head'} may be meant",
            )
        return self


def _foreign(config: LegacyModelConfig) -> Iterator[str]:
    """What a description asks for that the code of its semantics did not have."""
    kinds = {f"{part} {getattr(config, part).type}" for part in ("convnet", "modulator", "recurrent", "readout")}
    kinds |= {f"readout {heads.readout.type}" for heads in config.heads.values() if heads.readout is not None}
    if config.semantics == "head":
        gone = {"convnet x3d", "convnet x3dnet", "modulator stn", "modulator pc", "recurrent convlstm"}
        yield from sorted(kinds & (gone | {"readout gaussianei", "readout gaussiansn"}))
        if isinstance(config.recurrent, LegacyRecurrent) and config.recurrent.params.fast_phase:
            yield "recurrent.params.fast_phase"
        if isinstance(config.frontend, LegacyTemporal) and config.frontend.params.anti_aliasing:
            yield "frontend.params.anti_aliasing"
        return
    if config.model_type == "v1multi_history":
        yield "model_type v1multi_history"
    if isinstance(config.recurrent, LegacyRecurrent) and config.recurrent.params.n_layers > 1:
        yield "recurrent.params.n_layers"
    if isinstance(config.frontend, LegacyTemporal) and config.frontend.params.split_MP:
        yield "frontend.params.split_MP"
    for path, model in _walk(config, ""):
        if isinstance(model, LegacyKernel) and model.reparametrised:
            yield f"{path}.{'use_weight_norm' if model.use_weight_norm else 'aa_signal'}"
        if isinstance(model, LegacyBlock) and model.pool_params is not None and model.pool_params.type == "se_pool":
            yield f"{path}.pool_params.type se_pool"


def _walk(value: Any, path: str) -> Iterator[tuple[str, BaseModel]]:
    """All settings models inside ``value``, by dotted path."""
    if isinstance(value, BaseModel):
        yield path, value
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}.{index}")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{path}.{name}")


def ignored_keys(config: LegacyModelConfig) -> list[str]:
    """Dotted paths of keys of the description that the old system passed over."""
    return [
        f"{path}.{name}" if path else name
        for path, model in _walk(config, "")
        if isinstance(model, Tolerant)
        for name in model.__pydantic_extra__ or {}
    ]


_UNREADABLE = {
    ("convnet", "shifttcn"): "how its tensors are named is not known here",
    ("recurrent", "gru"): "the old system made its weights after the optimizer and never trained or stored them",
    ("recurrent", "lstm"): "the old system made its weights after the optimizer and never trained or stored them",
}


def read_legacy_config(
    description: Mapping[str, Any],
    *,
    semantics: Semantics,
    lags: tuple[int, ...],
    source: str | Callable[[str], str] = "",
    **more: Any,
) -> LegacyModelConfig:
    """A model description of the old system (its YAML, or what a checkpoint holds of it) as settings.

    ``source`` names the file in messages; ``more`` sets other fields. Raises `UsageError` for an unknown key with the
    nearest valid one, a wrong value, or a component that old checkpoints cannot hold.
    """
    where = source if callable(source) else lambda _path: source
    for (part, kind), reason in _UNREADABLE.items():
        component = description.get(part)
        if isinstance(component, Mapping) and component.get("type") == kind:
            raise UsageError(
                f"{part}.type{f' in {where(part)}' if where(part) else ''}: {kind} is not read, {reason}",
                hint="train the architecture anew as a current model (docs/models.md)",
            )
    return check(LegacyModelConfig, {**description, "semantics": semantics, "lags": lags, **more}, where)


AnyModelConfig = Annotated[ModelConfig | LegacyModelConfig, Field(discriminator="semantics")]
"""A current or a legacy model; without ``semantics`` it is a current one (see `read_model_config`)."""


def read_model_config(
    content: Mapping[str, Any], source_of: Callable[[str], str] = lambda _path: ""
) -> ModelConfig | LegacyModelConfig:
    """The model config of either kind that ``content`` holds. Raises `UsageError`."""
    if content.get("semantics", "streaming") == "streaming":
        return check(ModelConfig, content, source_of)
    return check(LegacyModelConfig, content, source_of)
