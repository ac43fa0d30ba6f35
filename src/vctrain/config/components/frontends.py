"""Settings of what filters the stimulus before the convnet. Frontends read one channel, the stimulus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from vctrain.config.components.blocks import Block, needs_weight_norm
from vctrain.config.components.component import Component
from vctrain.config.components.windows import Window


class NoFrontend(Component):
    """The stimulus reaches the convnet frame by frame."""

    type: Literal["none"] = "none"


class LearnableTemporal(Component):
    """A bank of causal temporal kernels, shared by all pixels."""

    type: Literal["learnable_temporal"] = "learnable_temporal"
    kernel_size: PositiveInt = 16
    """Frames."""
    num_channels: PositiveInt = 4
    init: Literal["gaussian_derivatives", "biphasic", "identity", "random"] = "gaussian_derivatives"
    """`identity`: the n-th kernel is a delay of n frames."""
    split_mp: bool = False
    """Half of the kernels filter the fine detail of each frame, the other half the coarse, as parvo- and magnocellular
    pathways do."""
    window: Window = "hann"
    window_power: PositiveFloat = 0.25
    weight_norm: bool = False
    """Kernels are unit kernels times a learned gain of each."""
    keep_unit_norm: bool = False
    """The gain of weight norm stays 1."""
    bias: bool = False

    _unit = field_validator("keep_unit_norm")(needs_weight_norm)

    @field_validator("split_mp")
    @classmethod
    def _even(cls, split: bool, info: ValidationInfo) -> bool:
        if split and info.data.get("num_channels", 2) % 2:
            raise ValueError(f"needs an even num_channels, half for each band; it is {info.data['num_channels']}")
        return split

    @property
    def history(self) -> int:
        return self.kernel_size - 1


class DynamicalAdaptation(Component):
    """Adaptation of photoreceptors to the light of the recent past (Clark et al. 2013): ``alpha * y / (1 + beta * z)``.

    ``y`` and ``z`` are the grey values (0 to 255) through a fast and a slow low-pass filter. Filters have the shape
    ``t^n exp(-t / tau)``; the slow one has ``gamma`` of the fast one mixed in. The response to mean grey is
    subtracted.
    """

    type: Literal["da"] = "da"
    alpha: PositiveFloat = 0.01
    beta: PositiveFloat = 8e-5
    gamma: float = Field(0.5, gt=0.0, lt=1.0)
    tau_y_ms: PositiveFloat = 5.0
    tau_z_ms: PositiveFloat = 60.0
    n_y: NonNegativeFloat = 5.0
    n_z: NonNegativeFloat = 2.0
    filter_length: PositiveInt = 32
    """Frames."""
    sampling_rate: PositiveFloat = 120.0
    """Frames per second of the sessions: what turns milliseconds into frames."""
    learnable: bool = False
    """All seven numbers learn, within their bounds."""

    @field_validator("learnable")
    @classmethod
    def _inside(cls, learnable: bool, info: ValidationInfo) -> bool:
        if learnable and not (info.data.get("n_y", 1) and info.data.get("n_z", 1)):
            raise ValueError("needs n_y and n_z above 0")
        return learnable

    @property
    def history(self) -> int:
        return self.filter_length - 1


class TemporalBasis(Component):
    """Fixed raised cosines (and delays) over the past of every pixel (Pillow et al. 2008), a channel each."""

    type: Literal["temporal_basis"] = "temporal_basis"
    num_delta_funcs: int = Field(0, ge=0)
    """Delays of 0, 1, ... frames, before the cosines."""
    num_cosine_funcs: int = Field(10, ge=0)
    history_bins: PositiveInt = 32
    """Frames that the functions reach back, the present one included."""
    log_spacing: bool = True
    """Peaks and widths grow with the delay."""
    peak_range_ms: tuple[NonNegativeFloat, NonNegativeFloat] = (10.0, 100.0)
    """Delays at which the first and the last cosine peak."""
    sampling_rate: PositiveFloat = 120.0
    """Frames per second of the sessions: what turns milliseconds into frames."""
    normalize: bool = True
    """Functions of length 1."""
    orthogonalize: bool = False
    """Functions at right angles that span the same."""

    @field_validator("num_cosine_funcs")
    @classmethod
    def _some(cls, cosines: int, info: ValidationInfo) -> int:
        if cosines + info.data.get("num_delta_funcs", 1) == 0:
            raise ValueError("and num_delta_funcs are both 0: a basis has at least one function")
        return cosines

    @field_validator("history_bins")
    @classmethod
    def _holds_delays(cls, bins: int, info: ValidationInfo) -> int:
        if bins < info.data.get("num_delta_funcs", 0):
            raise ValueError(f"should hold the {info.data['num_delta_funcs']} delays of num_delta_funcs")
        return bins

    @field_validator("peak_range_ms")
    @classmethod
    def _rising(cls, peaks: tuple[float, float]) -> tuple[float, float]:
        if not peaks[0] < peaks[1]:
            raise ValueError("should rise: the first peak comes before the last")
        return peaks

    @property
    def history(self) -> int:
        return self.history_bins - 1


class ConvFrontend(Component):
    """One convolution block as a frontend."""

    type: Literal["conv"] = "conv"
    block: Block

    @property
    def history(self) -> int:
        return self.block.history


Frontend = Annotated[
    NoFrontend | LearnableTemporal | DynamicalAdaptation | TemporalBasis | ConvFrontend, Field(discriminator="type")
]
