"""Which operations a dataset config may apply to a recording, and what they leave for the twin to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

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

    @property
    def radius(self) -> int:
        """Frames on either side that count: the kernel has int(6 sigma) + 1 taps, made odd."""
        return (int(6 * self.sigma) + 1) // 2 if self.sigma > 0 else 0


class Cast(Config):
    """Rounds through a data type; signals are float32 afterwards as before."""

    op: Literal["cast"] = "cast"
    value: Literal["float32", "float64", "float16", "bfloat16"] = "float32"


class SelectUnits(Config):
    """Columns of a per-unit covariate: those listed, or those of the session's cids."""

    op: Literal["select_units"] = "select_units"
    indices: Literal["cids"] | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = "cids"

    def selected(self, cids: tuple[int, ...]) -> tuple[int, ...]:
        """The columns of a session with these `cids`."""
        return cids if self.indices == "cids" else self.indices


class DaCones(Config):
    """Dynamical adaptation of cones (Clark et al. 2013): ``alpha * y / (1 + beta * z)``, y and z the stimulus through
    a fast and a slow low-pass filter. ``sampling_rate`` in Hz is that of the filters; time constants in ms."""

    op: Literal["dacones"] = "dacones"
    alpha: float = Field(1.0, allow_inf_nan=False)
    beta: float = Field(8e-5, allow_inf_nan=False)
    gamma: float = Field(0.5, ge=0.0, le=1.0)
    tau_y_ms: PositiveFloat = 5.0
    tau_z_ms: PositiveFloat = 60.0
    n_y: NonNegativeFloat = 5.0
    n_z: NonNegativeFloat = 2.0
    filter_length: PositiveInt = 200
    sampling_rate: PositiveFloat = 240.0
    learnable_params: Literal[False] = False


class FftWhitening(Config):
    """Amplitudes at spatio-temporal frequency f (cycles a sample) times ``f * exp(-(f / f_0)**n)`` (Olshausen and
    Field 1997), trial by trial."""

    op: Literal["fftwhitening"] = "fftwhitening"
    f_0: PositiveFloat = 0.4
    n: PositiveFloat = 4.0


SignalOp = Diff | MaxNorm | SymLog | Mul | TemporalBasis | SplitRelu | Smooth | Cast | SelectUnits
StimOp = PixelNorm | Unsqueeze | Diff | MaxNorm | SymLog | Mul | Smooth | Cast | DaCones | FftWhitening
AnyOp = SignalOp | StimOp
POINTWISE = (PixelNorm, Unsqueeze, SymLog, Mul, Cast)
"""Operations on the movie that see one grey value at a time, so 256 values say all about them."""

_SCALAR_FIELD = {"unsqueeze": "value", "mul": "value", "cast": "value", "smooth": "sigma", "diff": "axis"}


def _tagged(entry: object) -> object:
    """`{name: settings}`, `{name: scalar}` or a bare name, as one mapping with the name under ``op``."""
    if isinstance(entry, Config):
        return entry
    if isinstance(entry, str):
        return {"op": entry}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("an operation is written {name: settings}, one to a list item")
    ((name, settings),) = entry.items()
    if name == "select_units" and isinstance(settings, list):
        return {"op": name, "indices": settings}
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
    """What a twin reads of a session: the movie after `stim`, and the signals side by side in the behaviour."""

    stim: tuple[StimOp, ...]
    """Empty: the movie stays as stored, and the twin itself takes (x - 127) / 255."""
    behavior: tuple[Signal, ...]
    unused: tuple[str, ...]
    """Transforms whose result current twins do not read."""

    @property
    def stim_pointwise(self) -> bool:
        """Whether the movie can stay uint8 until the device."""
        return all(isinstance(op, POINTWISE) for op in self.stim)

    def stim_as_list(self) -> list[dict[str, Any]]:
        """Plain types, for contracts and checkpoints."""
        return [_plain(op) for op in self.stim]


def _plain(op: AnyOp) -> dict[str, Any]:
    settings = op.model_dump(mode="json", exclude={"op"})
    return {op.op: settings.get("value", settings) if set(settings) == {"value"} else settings}


def plan_of(transforms: dict[str, Transform], where: str) -> Plan:
    """What `transforms` (in the order written) leave for the twin: later entries see what earlier ones exposed.

    `where` names the config in errors. Raises UsageError for an operation that current twins cannot apply.
    """
    signals: dict[str, Signal] = {}
    joined: dict[str, list[Signal]] = {}
    stim: tuple[StimOp, ...] = ()
    made: dict[str, list[str]] = {}
    consumed = {"behavior"}
    for name, transform in transforms.items():
        exposed = transform.expose_as or name
        path = f"{where}: transforms.{name}"
        if transform.source == "stim":
            stim += _stim_ops(transform, exposed, path)
            continue
        made.setdefault(exposed, []).append(name)
        if exposed == "stim":
            raise UsageError(f"{path} exposes {transform.source} as stim", hint="make the stimulus from source: stim")
        base = signals.get(transform.source, Signal(transform.source, ()))
        consumed.add(transform.source)
        signal = Signal(base.source, base.ops + tuple(_signal_op(op, path) for op in transform.ops))
        if transform.concatenate:
            joined.setdefault(exposed, []).append(signal)
        else:
            signals[exposed] = signal
    if "behavior" in joined:
        behavior = tuple(joined["behavior"])
    else:
        behavior = (signals["behavior"],) if "behavior" in signals else ()
    for signal in behavior:
        _check_counts_are_past(signal, where)
    unused = tuple(name for exposed, names in made.items() if exposed not in consumed for name in names)
    return Plan(stim, behavior, unused)


def _check_counts_are_past(signal: Signal, where: str) -> None:
    """A causal basis has nothing at the frame itself; without it the twin would be shown what it predicts."""
    if signal.source == "robs" and not any(isinstance(op, TemporalBasis) and op.causal for op in signal.ops):
        raise UsageError(
            f"{where}: behavior from robs would show the twin the spikes it predicts",
            hint="pass them through a causal temporal_basis, which reads earlier frames only",
        )


def _signal_op(op: AnyOp, path: str) -> SignalOp:
    if isinstance(op, PixelNorm | Unsqueeze | DaCones | FftWhitening):
        raise UsageError(
            f"{path}: {op.op} cannot be applied to a behaviour signal",
            hint="signals take diff, maxnorm, symlog, mul, temporal_basis, splitrelu, smooth, cast and select_units",
        )
    return op


def _stim_ops(transform: Transform, exposed: str, path: str) -> tuple[StimOp, ...]:
    """The operations that change the movie; none where the twin's own (x - 127) / 255 is all that is asked for."""
    if exposed != "stim":
        raise UsageError(f"{path} exposes stim as {exposed!r}", hint="current twins read the movie as stim only")
    for op in transform.ops:
        if isinstance(op, TemporalBasis | SplitRelu):
            raise UsageError(
                f"{path}: {op.op} makes several channels of the movie, twins read one",
                hint="remove it; model.frontend: {type: learnable_temporal} filters the movie in time",
            )
        if isinstance(op, SelectUnits):
            raise UsageError(f"{path}: the movie has no units to select", hint="remove select_units")
    ops = tuple(op for op in transform.ops if not isinstance(op, TemporalBasis | SplitRelu | SelectUnits))
    changing = [op for op in ops if not isinstance(op, PixelNorm | Unsqueeze | Cast)]
    return ops if changing else ()
