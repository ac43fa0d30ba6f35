"""Settings of one convolution with its norm, activation, pooling and shortcut."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from vctrain.config.components.activations import Activation, Pointwise, SplitRelu
from vctrain.config.components.component import Component
from vctrain.config.components.norms import BatchNorm, GroupNorm, InstanceNorm, NoNorm, Norm, RMSNorm
from vctrain.config.components.pools import NoPool, Pool
from vctrain.config.components.windows import Window


def _repeated(times: int) -> BeforeValidator:
    """Lets ``n`` stand for a list of ``times`` n."""

    def repeat(value: object) -> object:
        return [value] * times if isinstance(value, int) and not isinstance(value, bool) else value

    return BeforeValidator(repeat)


Sides = Annotated[tuple[PositiveInt, PositiveInt], _repeated(2)]
Steps = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], _repeated(3)]


def needs_weight_norm(wanted: bool, info: ValidationInfo) -> bool:
    """Validator of ``keep_unit_norm``."""
    if wanted and not info.data.get("weight_norm", True):
        raise ValueError("is a kind of weight norm; set weight_norm: true beside it")
    return wanted


class Block(Component):
    """One convolution with its norm, activation, dropout and spatial pooling; temporal taps look backwards only."""

    channels: PositiveInt
    """Filters; `splitrelu` makes two channels of each."""
    kernel: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 3, 3)
    """(time, height, width) taps."""
    conv: Literal["standard", "depthwise"] = "standard"
    """`depthwise`: a kernel of its own for each input channel, then a mixture of channels at each pixel."""
    stride: Sides = (1, 1)
    """Spatial stride, one number or [height, width]; time is never strided."""
    dilation: Steps = (1, 1, 1)
    """Distance of taps, one number or [time, height, width]."""
    groups: PositiveInt = 1
    """Channels are convolved in so many separate groups."""
    padding: Literal["same", "replicate", "valid"] = "same"
    """Spatial padding: zeros, the border's values, or none; time is never padded."""
    bias: bool | None = None
    """None: where nothing normalises."""
    norm: Norm = RMSNorm()
    activation: Activation = SplitRelu()
    pool: Pool = NoPool()
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of channels left out of a clip in training."""
    window: Window = "none"
    """Anti-aliasing window on kernel axes of five taps or more; it has no tap at zero."""
    window_power: PositiveFloat = 1.0
    weight_norm: bool = False
    """Kernels are unit kernels times a learned gain of each filter."""
    keep_unit_norm: bool = False
    """The gain of weight norm stays 1."""

    @property
    def history(self) -> int:
        return self.dilation[0] * (self.kernel[0] - 1)

    @property
    def has_bias(self) -> bool:
        """Whether the convolution adds a learned constant."""
        return isinstance(self.norm, NoNorm) if self.bias is None else self.bias

    @property
    def normalises_batches(self) -> bool:
        """Whether statistics of the batch are taken in training."""
        return isinstance(self.norm, BatchNorm)

    @field_validator("kernel")
    @classmethod
    def _centred(cls, kernel: tuple[int, int, int]) -> tuple[int, int, int]:
        if any(side % 2 == 0 for side in kernel[1:]):
            raise ValueError("should have an odd height and width: an even kernel has no centre")
        return kernel

    @field_validator("stride")
    @classmethod
    def _square(cls, stride: tuple[int, int]) -> tuple[int, int]:
        if stride[0] != stride[1]:
            raise ValueError("should be the same for height and width: feature maps are square")
        return stride

    @field_validator("padding")
    @classmethod
    def _square_crop(cls, padding: str, info: ValidationInfo) -> str:
        kernel, dilation = info.data.get("kernel", (1, 1, 1)), info.data.get("dilation", (1, 1, 1))
        if padding == "valid" and dilation[1] * (kernel[1] - 1) != dilation[2] * (kernel[2] - 1):
            raise ValueError("needs a kernel as high as wide: feature maps are square; use same")
        return padding

    @field_validator("groups")
    @classmethod
    def _divide_channels(cls, groups: int, info: ValidationInfo) -> int:
        if groups > 1 and info.data.get("conv") == "depthwise":
            raise ValueError("belongs to conv standard; depthwise convolves every channel by itself")
        if info.data.get("channels", groups) % groups:
            raise ValueError(f"does not divide channels {info.data['channels']}")
        return groups

    @field_validator("norm")
    @classmethod
    def _norm_fits(cls, norm: Any, info: ValidationInfo) -> Any:
        channels = info.data.get("channels")
        if isinstance(norm, GroupNorm) and channels is not None and channels % norm.groups:
            raise ValueError(f"groups {norm.groups} do not divide channels {channels}")
        each = isinstance(norm, BatchNorm | InstanceNorm) or (isinstance(norm, GroupNorm) and norm.groups == channels)
        if each and info.data.get("bias"):
            raise ValueError(f"{norm.type} subtracts the mean of each channel, so bias: true would learn nothing")
        return norm

    _unit = field_validator("keep_unit_norm")(needs_weight_norm)


class ResidualBlock(Block):
    """A block that adds its input: the same frames and positions, pooled alike, projected where channels differ."""

    residual: bool = True
    shortcut_norm: Norm = NoNorm()
    """Normalises the shortcut."""
    post_activation: Activation = Pointwise()
    """After the shortcut is added."""

    @property
    def normalises_batches(self) -> bool:
        return super().normalises_batches or isinstance(self.shortcut_norm, BatchNorm)

    @field_validator("shortcut_norm", "post_activation")
    @classmethod
    def _needs_shortcut(cls, part: Any, info: ValidationInfo) -> Any:
        if not info.data.get("residual", True) and getattr(part, "type", "none") != "none":
            raise ValueError("belongs to residual: true")
        return part
