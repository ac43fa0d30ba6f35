"""Settings of spatial pooling: a name, or a mapping where one has settings. Each frame is pooled by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from vctrain.config.components.named import BY_NAME, Named
from vctrain.config.components.values import OddSide


class NoPool(Named):
    """The feature map keeps its size."""

    type: Literal["none"] = "none"


class WindowPool(Named):
    """The largest value or the mean of square windows; rows and columns that fill no window are dropped."""

    type: Literal["max", "avg"] = "max"
    kernel: PositiveInt = 2
    """Side of a window in pixels."""
    stride: PositiveInt | None = None
    """Pixels between windows; none: `kernel`."""

    @property
    def step(self) -> int:
        """Pixels between windows."""
        return self.kernel if self.stride is None else self.stride


class AdaptivePool(Named):
    """The largest value or the mean of windows that cover the map in ``size`` rows and columns."""

    type: Literal["adaptivemax", "adaptiveavg"] = "adaptiveavg"
    size: PositiveInt


class SqueezeExcite(Named):
    """Channels gated by their means over space, frame by frame (Hu et al. 2018); the map keeps its size."""

    type: Literal["se"] = "se"
    reduction: PositiveInt = 8
    """The hidden layer has this many times fewer channels, at least one."""


class BlurPool(Named):
    """A binomial blur, then means of windows of ``stride`` pixels weighted towards large values (softmax pooling,
    Stergiou et al. 2021), then squeeze-and-excitation. A stride of 1 leaves blur and gates."""

    type: Literal["aablur"] = "aablur"
    stride: PositiveInt = 2
    reduction: PositiveInt = 8
    """Of the squeeze-and-excitation."""
    soft: bool = True
    """`false`: plain means."""
    temperature: PositiveFloat = 1.0
    """Activation that weighs e times as much; large: plain means."""


class LearnedPool(Named):
    """A learned convolution with a stride."""

    type: Literal["learned"] = "learned"
    kernel: OddSide = 3
    stride: PositiveInt = 2


Pool = Annotated[
    NoPool | WindowPool | AdaptivePool | SqueezeExcite | BlurPool | LearnedPool,
    Field(discriminator="type"),
    BY_NAME,
]
