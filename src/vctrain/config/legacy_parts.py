"""Settings of old components, each ``{type, params}`` with the defaults that the old system had (but convnets)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, PositiveFloat, PositiveInt

from vctrain.config.base import Config
from vctrain.config.legacy_blocks import (
    LegacyBlock,
    LegacyHistoryParams,
    LegacyKernel,
    LegacyPerceptron,
    Tolerant,
    none_as_mapping,
)
from vctrain.config.legacy_nets import LegacyDenseNet, LegacyResNet, LegacyVanilla, LegacyX3D


def as_component(value: Any) -> Any:
    """A component as a mapping with a type and params: null, a missing type and null params mean none of them."""
    if value is None:
        return {"type": "none"}
    if not isinstance(value, dict):
        return value
    params = {} if value.get("params") is None else value["params"]
    kind = {} if "type" not in value else {"type": value["type"] or "none"}
    return {**value, **kind, "params": params}


class NoPart(Config):
    """Nothing in this place."""

    type: Literal["none"] = "none"
    params: Annotated[dict[str, JsonValue], BeforeValidator(none_as_mapping)] = Field(default_factory=dict)


class AdapterParams(Config):
    """Blur and resampling of a session's stimulus."""

    init_sigma: PositiveFloat = 1.0
    grid_size: PositiveInt = 25
    transform: Literal["scale", "affine"] = "scale"


class LegacyAdapter(Config):
    """A session's stimulus is blurred and resampled."""

    type: Literal["adapter"]
    params: AdapterParams = AdapterParams()


class TemporalParams(LegacyKernel):
    """Kernels over the lags, shared by all pixels."""

    kernel_size: PositiveInt = 16
    num_channels: PositiveInt = 6
    init_type: Literal["gaussian_derivatives", "identity", "random", "biphasic"] = "gaussian_derivatives"
    causal: bool = True
    """Never read."""
    bias: bool = False
    anti_aliasing: bool | None = None
    """Whether kernels are tapered and low-passed before use. None: as the semantics have it."""
    split_MP: bool = False
    """Whether each frame is split into its fine and its coarse part, each with half of the kernels."""


class LegacyTemporal(Config):
    """Learned kernels over the lags."""

    type: Literal["learnable_temporal"]
    params: TemporalParams = TemporalParams()


class DynamicAdaptationParams(Config):
    """The dynamical adaptation model of cones (Clark et al. 2013)."""

    alpha: float = 1.0
    beta: float = 8e-5
    gamma: float = 0.5
    tau_y_ms: float = 5.0
    tau_z_ms: float = 60.0
    n_y: float = 5.0
    n_z: float = 2.0
    filter_length: PositiveInt = 200
    learnable_params: bool = False
    height: int | None = None
    width: int | None = None


class LegacyDynamicAdaptation(Config):
    """Dynamical adaptation over the lags."""

    type: Literal["da"]
    params: DynamicAdaptationParams = DynamicAdaptationParams()


class BasisParams(Config):
    """Raised cosines over the lags."""

    num_delta_funcs: int = Field(0, ge=0)
    num_cosine_funcs: int = Field(10, ge=0)
    history_bins: float = 32
    log_spacing: bool = True
    peak_range_ms: tuple[float, float] = (5.0, 100.0)
    bin_size_ms: PositiveFloat = 5.0
    normalize: bool = True
    orthogonalize: bool = False
    causal: bool = True
    batch_norm: bool = False
    chomp: int | None = None


class LegacyBasis(Config):
    """A fixed basis over the lags."""

    type: Literal["temporal_basis"]
    params: BasisParams = BasisParams()


class FrontendBlock(LegacyBlock):
    """A block in the place of a frontend."""

    out_channels: PositiveInt


class LegacyConvFrontend(Config):
    """One convolutional block before the convnet."""

    type: Literal["conv"]
    params: FrontendBlock


class BehaviorParams(Tolerant):
    """What all modulators read; the old system passed over keys that it did not know."""

    behavior_dim: PositiveInt | None = None
    n_vars: PositiveInt | None = None
    feature_dim: int | None = None
    """Never read: the channels of the features count."""

    @property
    def width(self) -> int:
        """Behaviour variables a frame."""
        return self.behavior_dim or self.n_vars or 2


class EncoderParams(BehaviorParams):
    """A modulator with a perceptron."""

    encoder_params: Annotated[LegacyPerceptron, BeforeValidator(none_as_mapping)] = LegacyPerceptron()


def _wide(value: Any) -> Any:
    return {"dims": (128, 128), **(value or {})} if value is None or isinstance(value, dict) else value


class StnParams(BehaviorParams):
    """A spatial transformer driven by behaviour."""

    encoder_params: Annotated[LegacyPerceptron, BeforeValidator(_wide)] = LegacyPerceptron(dims=(128, 128))


class GruModulatorParams(BehaviorParams):
    """A convolutional GRU over features and behaviour."""

    hidden_dim: PositiveInt | None = None
    """None: the channels of the features."""
    beh_emb_dim: PositiveInt = 16
    kernel_size: PositiveInt = 3


class PredictionParams(GruModulatorParams):
    """Predictive coding: what the GRU did not foresee of a frame."""

    concat_error: bool = True


class LegacyConcat(Config):
    """Behaviour features stand beside the channels."""

    type: Literal["concat"]
    params: EncoderParams = EncoderParams()


class LegacyFilm(Config):
    """Behaviour scales and shifts each channel."""

    type: Literal["film"]
    params: EncoderParams = EncoderParams()


class LegacyStn(Config):
    """Behaviour warps the feature map."""

    type: Literal["stn"]
    params: StnParams = StnParams()


class LegacyGruModulator(Config):
    """A convolutional GRU reads features and behaviour."""

    type: Literal["convgru"]
    params: GruModulatorParams = GruModulatorParams()


class LegacyPrediction(Config):
    """Features and what was not foreseen of them."""

    type: Literal["pc"]
    params: PredictionParams = PredictionParams()


class RecurrentParams(Tolerant):
    """A recurrent stage over the lags."""

    hidden_dim: PositiveInt = 64
    kernel_size: PositiveInt = 3
    fast_phase: bool = False
    """Whether the last frame stands beside the state."""
    n_layers: PositiveInt = 1


class LegacyRecurrent(Config):
    """A convolutional GRU or LSTM."""

    type: Literal["convgru", "convlstm"]
    params: RecurrentParams = RecurrentParams()


class GaussianParams(Config):
    """A Gaussian mask a unit."""

    bias: bool = True
    initial_std: float = 5.0
    initial_mean_scale: float = 0.0
    n_units: int | None = None


class LegacyGaussian(Config):
    """A Gaussian mask and a weight for each channel."""

    type: Literal["gaussian"] = "gaussian"
    params: GaussianParams = GaussianParams()


class LinearParams(Config):
    """A weight for each channel."""

    bias: bool = True
    n_units: int | None = None


class LegacyLinear(Config):
    """The mean over space, and a weight for each channel."""

    type: Literal["linear"]
    params: LinearParams = LinearParams()


class TwoMaskParams(Tolerant):
    """An excitatory and an inhibitory mask a unit; the old system passed over keys that it did not know."""

    bias: bool = True
    initial_std_ex: float = 3.0
    initial_std_inh: float = 6.0
    weight_constraint_fn: str | None = None
    """Makes weights non-negative; None: relu."""
    frac_inhib: None = None
    n_units: int | None = None
    """Never read, as in all readouts: the session's units count."""


class LegacyTwoMasks(Config):
    """Excitation less inhibition, or (``gaussiansn``) excitation over inhibition."""

    type: Literal["gaussianei", "gaussiansn"]
    params: TwoMaskParams = TwoMaskParams()


class LegacyHistory(Config):
    """A perceptron a session reads its spikes before the frame."""

    type: Literal["mlp"] = "mlp"
    params: LegacyHistoryParams = LegacyHistoryParams()


_FROM_OLD = BeforeValidator(as_component)
_BY_TYPE = Field(discriminator="type")
LegacyAnyAdapter = Annotated[NoPart | LegacyAdapter, _BY_TYPE, _FROM_OLD]
LegacyAnyFrontend = Annotated[
    NoPart | LegacyAdapter | LegacyTemporal | LegacyDynamicAdaptation | LegacyBasis | LegacyConvFrontend,
    _BY_TYPE,
    _FROM_OLD,
]
LegacyAnyConvnet = Annotated[NoPart | LegacyResNet | LegacyDenseNet | LegacyVanilla | LegacyX3D, _BY_TYPE, _FROM_OLD]
LegacyAnyModulator = Annotated[
    NoPart | LegacyConcat | LegacyFilm | LegacyStn | LegacyGruModulator | LegacyPrediction, _BY_TYPE, _FROM_OLD
]
LegacyAnyRecurrent = Annotated[NoPart | LegacyRecurrent, _BY_TYPE, _FROM_OLD]
LegacyAnyReadout = Annotated[LegacyGaussian | LegacyLinear | LegacyTwoMasks, _BY_TYPE, _FROM_OLD]
