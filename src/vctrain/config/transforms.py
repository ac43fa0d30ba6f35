"""Which operations may a dataset config apply to a recording?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    model_validator,
)

from vctrain.config.base import Config

Factor = Annotated[float, Field(ge=-1e6, le=1e6)]
"""Signals times this stay within float32."""
Milliseconds = Annotated[float, Field(gt=0, le=1e5)]
Taps = Annotated[int, Field(ge=1, le=10_000)]
"""Frames that a filter reaches."""
_MOST_FUNCTIONS = 1000
LEAST_LOG_PEAK_MS = 0.01
"""Earlier peaks are put here where cosines are spaced logarithmically."""


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
    value: Factor


class TemporalBasis(Config):
    """A bank of raised cosines (and delta functions) over time; channel c, basis b becomes column c * n_basis + b."""

    op: Literal["temporal_basis"] = "temporal_basis"
    num_delta_funcs: int = Field(0, ge=0, le=_MOST_FUNCTIONS)
    num_cosine_funcs: int = Field(10, ge=0, le=_MOST_FUNCTIONS)
    history_bins: Taps = 32
    log_spacing: bool = True
    peak_range_ms: tuple[float, float] = (5.0, 100.0)
    bin_size_ms: Milliseconds = 5.0
    normalize: bool = True
    orthogonalize: Literal[False] = False
    causal: bool = True
    batch_norm: Literal[False] = False
    chomp: None = None

    @model_validator(mode="after")
    def _has_functions(self) -> TemporalBasis:
        first, last = self.peak_range_ms
        if not -1e5 <= first < last <= 1e5:
            raise ValueError("peak_range_ms: the first peak must come before the last, in milliseconds")
        if self.log_spacing and last <= LEAST_LOG_PEAK_MS:
            raise ValueError(f"peak_range_ms ends before {LEAST_LOG_PEAK_MS:g}, where log_spacing begins")
        if self.num_delta_funcs + self.num_cosine_funcs == 0:
            raise ValueError("num_delta_funcs and num_cosine_funcs are 0, so nothing would be left of the signal")
        return self


class SplitRelu(Config):
    """[relu(x), relu(-x)] side by side."""

    op: Literal["splitrelu"] = "splitrelu"
    split_dim: Literal[1, -1] = 1
    trainable_gain: Literal[False] = False


class Smooth(Config):
    """Gaussian smoothing in time, reflected at the ends of a trial; sigma in frames, 0 leaves the signal alone."""

    op: Literal["smooth"] = "smooth"
    type: Literal["gaussian"] = "gaussian"
    sigma: float = Field(ge=0, le=1000)

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
    alpha: Factor = 1.0
    beta: Factor = 8e-5
    gamma: float = Field(0.5, ge=0.0, le=1.0)
    tau_y_ms: Milliseconds = 5.0
    tau_z_ms: Milliseconds = 60.0
    n_y: float = Field(5.0, ge=0, le=20)
    n_z: float = Field(2.0, ge=0, le=20)
    filter_length: Taps = 200
    sampling_rate: float = Field(240.0, gt=0, le=1e5)
    learnable_params: Literal[False] = False


class FftWhitening(Config):
    """Amplitudes at spatio-temporal frequency f (cycles a sample) times ``f * exp(-(f / f_0)**n)`` (Olshausen and
    Field 1997), trial by trial."""

    op: Literal["fftwhitening"] = "fftwhitening"
    f_0: float = Field(0.4, gt=0, allow_inf_nan=False)
    n: float = Field(4.0, gt=0, allow_inf_nan=False)


PointwiseOp = SymLog | Mul | Cast
"""What makes a number of a number, in movies and signals alike."""
SignalOp = Diff | MaxNorm | PointwiseOp | TemporalBasis | SplitRelu | Smooth | SelectUnits
StimOp = PixelNorm | Unsqueeze | Diff | MaxNorm | PointwiseOp | Smooth | DaCones | FftWhitening
AnyOp = SignalOp | StimOp
POINTWISE = (PixelNorm, Unsqueeze, *get_args(PointwiseOp))
"""Operations on the movie that see one grey value at a time, so 256 values say all about them."""

_SCALAR_FIELD = {
    "unsqueeze": "value",
    "mul": "value",
    "cast": "value",
    "smooth": "sigma",
    "diff": "axis",
}
"""What a single number sets of an operation."""


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


def _without_holes(lags: dict[str, Any]) -> dict[str, Any]:
    for name, value in lags.items():
        listed = list(value) if isinstance(value, tuple) else [] if value is None else [value]
        if any(lag < 0 for lag in listed):
            raise ValueError(f"{name} has a negative lag; lags count frames into the past")
        if listed and listed != list(range(listed[0], listed[0] + len(listed))):
            raise ValueError(f"the lags of {name} do not count up one by one")
    return lags


Lags = Annotated[dict[str, int | tuple[int, ...] | None], AfterValidator(_without_holes)]
"""Frames into the past by name, for legacy models; each list counts up one by one."""


class Transform(Config):
    """One entry of `transforms:`: a covariate, the operations on it in order, and the name of the result."""

    source: str
    ops: tuple[Operation, ...] = ()
    expose_as: str | None = None
    concatenate: bool = False
    keys_lags: Lags | None = None
