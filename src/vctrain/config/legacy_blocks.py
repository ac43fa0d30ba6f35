"""Settings of the units that old convnets are made of: convolution, norm, activation, dropout, pool."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from vctrain.config.base import Config


class Tolerant(Config):
    """Settings of which the old system read what it knew by name and passed over the rest; the rest is kept."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]


def _lower(value: Any) -> Any:
    return "none" if value is None else value.lower() if isinstance(value, str) else value


def none_as_mapping(value: Any) -> Any:
    """An empty mapping for null, anything else as it is."""
    return {} if value is None else value


Sizes = int | tuple[int, ...]
"""One size for all axes, or one an axis."""
Name = Annotated[str, BeforeValidator(lambda value: "none" if value is None else value)]
"""The name of an activation; null is none."""
Params = Annotated[dict[str, JsonValue], BeforeValidator(none_as_mapping)]
"""Keywords handed on; null is none of them."""


class LegacyKernel(Config):
    """What newer kernels may have: a norm of their own, and a window against aliasing."""

    use_weight_norm: bool = False
    keep_unit_norm: bool = False
    weight_norm_dim: int = 0
    """Read for depthwise kernels only; the others are normalised by output channel."""
    aa_signal: bool = False
    aa_window: str = "hann"
    aa_window_kwargs: Params = Field(default_factory=dict)
    """``power``, and keywords of the window."""

    @property
    def reparametrised(self) -> bool:
        """Whether the kernel is computed from other tensors."""
        return self.use_weight_norm or self.aa_signal


class LegacyConv(LegacyKernel):
    """A convolution; sizes are (time, height, width) or one for all three."""

    type: Literal["standard", "depthwise"] = "standard"
    kernel_size: Sizes
    stride: Sizes = 1
    padding: Sizes = 0
    dilation: Sizes = 1
    groups: PositiveInt = 1
    bias: bool | None = None
    """None: only where no norm follows."""
    padding_mode: Literal["replicate", "zeros", "reflect", "circular"] = "replicate"

    @field_validator("kernel_size", "stride", "dilation")
    @classmethod
    def _three(cls, value: Sizes) -> Sizes:
        if isinstance(value, tuple) and len(value) != 3:
            raise ValueError("takes one size or three (time, height, width)")
        return value

    @field_validator("type", mode="before")
    @classmethod
    def _two_dimensional(cls, value: Any) -> Any:
        if value in ("stacked2d", "windowed2d", "separable_windowed2d"):
            raise ValueError("convolutions of images without time are not read; movies have a time axis")
        return value


class LegacyNormParams(Tolerant):
    """Settings of a norm."""

    affine: bool | None = None
    """None: what the norm does by itself."""
    eps: float | None = None
    num_groups: PositiveInt = 1
    target_dim: int | tuple[int, ...] = 1


class MaxOrAverage(Config):
    """Pooling over windows of time and space."""

    type: Literal["max", "avg"]
    kernel_size: Sizes
    stride: Sizes | None = None
    padding: Sizes = 0


class AdaptivePool(Config):
    """Pooling to a given size."""

    type: Literal["adaptivemax", "adaptiveavg"]
    kernel_size: Sizes | tuple[int | None, ...]
    """Size of the output."""
    stride: Sizes | None = None
    """Not read by the pool; counts in the stride of a shortcut around it."""


class BlurPool(Config):
    """Pooling over space weighted by the exponential of the features, then a gate for each channel; ``aablur`` blurs
    before."""

    type: Literal["aablur", "se_pool"]
    stride: PositiveInt = 2
    r: PositiveInt = 8
    use_soft: bool = True


class BlockSteps(Config):
    """Convolution, norm, activation, dropout."""

    conv_params: LegacyConv
    norm_type: Annotated[
        Literal["none", "batch", "instance", "group", "rms", "layer", "grn"], BeforeValidator(_lower)
    ] = "batch"
    norm_params: Annotated[LegacyNormParams, BeforeValidator(none_as_mapping)] = LegacyNormParams()
    act_type: Name = "relu"
    act_params: Params = Field(default_factory=dict)
    dropout: float = Field(0.0, ge=0.0, le=1.0)
    causal: bool = True
    order: tuple[Literal["pad", "conv", "norm", "act", "dropout", "pool"], ...] | None = None
    """Steps in their order; what is not named is not done. None: all of them."""
    dim: Literal[3] = 3
    use_weight_norm: Literal[False] = False

    @model_validator(mode="after")
    def _has_a_convolution(self) -> BlockSteps:
        if self.order is not None and "conv" not in self.order:
            raise ValueError("order names no conv")
        return self


class LearnedPool(BlockSteps):
    """Another block in place of a pool."""

    type: Literal["learned"]
    pool_params: None = None


Pool = Annotated[MaxOrAverage | AdaptivePool | BlurPool | LearnedPool, Field(discriminator="type")]
STEPS = ("pad", "conv", "norm", "act", "dropout", "pool")


def _no_pool(value: Any) -> Any:
    if not value or (isinstance(value, dict) and "type" in value and value["type"] in (None, "none")):
        return None
    if isinstance(value, dict) and value.get("type") == "locatt":
        raise ValueError("local attention pools are not read: how they compute is not known here")
    return value


class LegacyBlock(BlockSteps):
    """A block: convolution, norm, activation, dropout, pool."""

    pool_params: Annotated[Pool | None, BeforeValidator(_no_pool)] = None
    out_channels: PositiveInt | None = None
    """Of a stem or a frontend; elsewhere the convnet's ``channels`` count."""
    channel_multiplier: float | None = None
    """Never read."""


class LegacyStem(LegacyBlock):
    """The block before all others."""

    out_channels: PositiveInt


class LegacyPerceptron(Tolerant):
    """How behaviour is read: layers of these widths."""

    type: Literal["mlp"] = "mlp"
    dims: tuple[PositiveInt, ...] = (64, 64)
    activation: Name = "gelu"
    bias: bool = True
    residual: bool = True
    dropout: float = Field(0.0, ge=0.0, le=1.0)
    last_layer_activation: bool = False


class LegacyHistoryParams(Tolerant):
    """How a session's own spikes are read."""

    num_lags: PositiveInt = 5
    hidden_dims: tuple[NonNegativeInt, ...] = (32, 10)
    act_type: Name = "relu"
    spectral_norm: bool = False
