"""Which operations a dataset config may apply to a recording, and what they leave for the twin to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from vctrain.config.base import Config
from vctrain.errors import UsageError


class PixelNorm(Config):
    """(x - 127) / 255; done on the device, the stored movie stays uint8."""

    op: Literal["pixelnorm"] = "pixelnorm"


class Unsqueeze(Config):
    """Adds the channel axis; done on the device."""

    op: Literal["unsqueeze"] = "unsqueeze"
    value: Literal[1] = 1


class Diff(Config):
    """First difference in time; the first frame of a trial is 0."""

    op: Literal["diff"] = "diff"
    axis: Literal[0] = 0


class MaxNorm(Config):
    """x / max|x|, the maximum fitted on training frames of the session."""

    op: Literal["maxnorm"] = "maxnorm"


class SymLog(Config):
    """sign(x) * log(1 + |x|)."""

    op: Literal["symlog"] = "symlog"


class Mul(Config):
    """x * value."""

    op: Literal["mul"] = "mul"
    value: float = Field(allow_inf_nan=False)


class TemporalBasis(Config):
    """A bank of raised cosines (and delta functions) over time; channel c, basis b becomes column c * n_basis + b."""

    op: Literal["temporal_basis"] = "temporal_basis"
    num_delta_funcs: int = Field(0, ge=0)
    num_cosine_funcs: int = Field(10, ge=0)
    history_bins: PositiveInt = 32
    log_spacing: bool = True
    peak_range_ms: tuple[float, float] = (5.0, 100.0)
    bin_size_ms: PositiveFloat = 5.0
    normalize: bool = True
    orthogonalize: Literal[False] = False
    causal: bool = True
    batch_norm: Literal[False] = False
    chomp: None = None

    @field_validator("peak_range_ms")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError("the first peak must come before the last")
        return value


class SplitRelu(Config):
    """[relu(x), relu(-x)] side by side."""

    op: Literal["splitrelu"] = "splitrelu"
    split_dim: Literal[1, -1] = 1
    trainable_gain: Literal[False] = False


class Smooth(Config):
    """Gaussian smoothing in time, reflected at the ends of a trial; sigma in frames, 0 leaves the signal alone."""

    op: Literal["smooth"] = "smooth"
    type: Literal["gaussian"] = "gaussian"
    sigma: NonNegativeFloat


class Cast(Config):
    """Rounds through a data type; signals are float32 afterwards as before."""

    op: Literal["cast"] = "cast"
    value: Literal["float32", "float64", "float16", "bfloat16"] = "float32"


class SelectUnits(Config):
    """Columns of a per-unit signal (spike history of legacy models)."""

    op: Literal["select_units"] = "select_units"
    indices: Literal["cids"] | tuple[int, ...] = "cids"


class DaCones(Config):
    """The cone model; recognised so that the message can say what is missing."""

    op: Literal["dacones"] = "dacones"
    value: Any = None


class FftWhitening(Config):
    """Whitening in the frequency domain; recognised so that the message can say what is missing."""

    op: Literal["fftwhitening"] = "fftwhitening"
    value: Any = None


SignalOp = Diff | MaxNorm | SymLog | Mul | TemporalBasis | SplitRelu | Smooth | Cast
AnyOp = SignalOp | PixelNorm | Unsqueeze | SelectUnits | DaCones | FftWhitening

_SCALAR_FIELD = {"unsqueeze": "value", "mul": "value", "cast": "value", "smooth": "sigma", "diff": "axis"}
_OPAQUE = ("dacones", "fftwhitening")


def _tagged(entry: object) -> object:
    """`{name: settings}`, `{name: scalar}` or a bare name, as one mapping with the name under ``op``."""
    if isinstance(entry, Config):
        return entry
    if isinstance(entry, str):
        return {"op": entry}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("an operation is written {name: settings}, one to a list item")
    ((name, settings),) = entry.items()
    if name in _OPAQUE:
        return {"op": name, "value": settings}
    if name == "smooth" and isinstance(settings, dict) and isinstance(settings.get("params"), dict):
        settings = {**{k: v for k, v in settings.items() if k != "params"}, **settings["params"]}
    if settings is None:
        return {"op": name}
    if isinstance(settings, dict):
        return {"op": name, **settings}
    if name in _SCALAR_FIELD:
        return {"op": name, _SCALAR_FIELD[name]: settings}
    raise ValueError(f"settings of {name} must be a mapping, not {settings!r}")


Operation = Annotated[Annotated[AnyOp, Field(discriminator="op")], BeforeValidator(_tagged)]


class Transform(Config):
    """One entry of `transforms:`: a covariate, the operations on it in order, and the name of the result."""

    source: str
    ops: tuple[Operation, ...] = ()
    expose_as: str | None = None
    concatenate: bool = False
    keys_lags: dict[str, Any] | None = None


@dataclass(frozen=True)
class Signal:
    """A covariate and the operations that turn it into columns of the behaviour, in order."""

    source: str
    ops: tuple[SignalOp, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for contracts and checkpoints."""
        return {"source": self.source, "ops": [_plain(op) for op in self.ops]}


@dataclass(frozen=True)
class Plan:
    """What a twin reads of a session: the movie, and the signals side by side in the behaviour."""

    stim_ops: tuple[str, ...]
    behavior: tuple[Signal, ...]
    unused: tuple[str, ...]
    """Transforms whose result current twins do not read."""


def _plain(op: SignalOp) -> dict[str, Any]:
    settings = op.model_dump(mode="json", exclude={"op"})
    return {op.op: settings.get("value", settings) if set(settings) == {"value"} else settings}


def plan_of(transforms: dict[str, Transform], where: str) -> Plan:
    """What `transforms` (in the order written) leave for the twin: later entries see what earlier ones exposed.

    `where` names the config in errors. Raises UsageError for an operation that current twins cannot apply.
    """
    signals: dict[str, Signal] = {}
    joined: dict[str, list[Signal]] = {}
    stim_ops: tuple[str, ...] = ()
    made: dict[str, list[str]] = {}
    consumed = {"behavior"}
    for name, transform in transforms.items():
        exposed = transform.expose_as or name
        path = f"{where}: transforms.{name}"
        if transform.source == "stim":
            _check_stim(transform, exposed, path)
            stim_ops += tuple(op.op for op in transform.ops)
            continue
        made.setdefault(exposed, []).append(name)
        if exposed == "stim":
            raise UsageError(f"{path} exposes {transform.source} as stim", hint="make the stimulus from source: stim")
        base = signals.get(transform.source, Signal(transform.source, ()))
        consumed.add(transform.source)
        if exposed != "behavior" and any(isinstance(op, SelectUnits) for op in transform.ops):
            continue
        signal = Signal(base.source, base.ops + tuple(_signal_op(op, path) for op in transform.ops))
        if transform.concatenate:
            joined.setdefault(exposed, []).append(signal)
        else:
            signals[exposed] = signal
    if "behavior" in joined:
        behavior = tuple(joined["behavior"])
    else:
        behavior = (signals["behavior"],) if "behavior" in signals else ()
    unused = tuple(name for exposed, names in made.items() if exposed not in consumed for name in names)
    return Plan(stim_ops, behavior, unused)


def _signal_op(op: AnyOp, path: str) -> SignalOp:
    if isinstance(op, PixelNorm | Unsqueeze | SelectUnits | DaCones | FftWhitening):
        raise UsageError(
            f"{path}: {op.op} cannot be applied to a behaviour signal",
            hint="signals take diff, maxnorm, symlog, mul, temporal_basis, splitrelu, smooth and cast",
        )
    return op


def _check_stim(transform: Transform, exposed: str, path: str) -> None:
    """The movie stays uint8 until the device, so only operations that every twin does there anyway are allowed."""
    if exposed != "stim":
        raise UsageError(f"{path} exposes stim as {exposed!r}", hint="current twins read the movie as stim only")
    for op in transform.ops:
        if not isinstance(op, PixelNorm | Unsqueeze | Cast):
            raise UsageError(
                f"{path}: {op.op} is not available for current twins yet",
                hint="remove it, or keep pixelnorm and unsqueeze only; other stimulus operations need a legacy model",
            )
