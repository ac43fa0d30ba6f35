"""Settings of normalisations: a name, or a mapping where one has settings. None of them looks across frames."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from vctrain.config.components.named import BY_NAME, Named


class NoNorm(Named):
    """Not normalised; the convolution has a bias instead."""

    type: Literal["none"] = "none"


class RMSNorm(Named):
    """Root-mean-square over channels at each frame and position (Zhang and Sennrich 2019)."""

    type: Literal["rms"] = "rms"
    affine: bool = True
    """A learned gain and offset of each channel."""


class LayerNorm(Named):
    """Mean and variance over channels at each frame and position (Ba et al. 2016)."""

    type: Literal["layer"] = "layer"
    affine: bool = True


class GlobalResponseNorm(Named):
    """Each channel relative to the others, by its energy over space within the frame (Woo et al. 2023)."""

    type: Literal["grn"] = "grn"


class InstanceNorm(Named):
    """Mean and variance of each channel over space within the frame (Ulyanov et al. 2016)."""

    type: Literal["instance"] = "instance"
    affine: bool = True


class GroupNorm(Named):
    """Mean and variance of each group of channels over space within the frame (Wu and He 2018)."""

    type: Literal["group"] = "group"
    groups: PositiveInt = 1
    affine: bool = True


class BatchNorm(Named):
    """Mean and variance of each channel over clips, frames and space (Ioffe and Szegedy 2015).

    Only in training, where the statistics are those of all clips of the step on all ranks; otherwise running averages
    are used, so a prediction depends on nothing but its own frames.
    """

    type: Literal["batch"] = "batch"
    affine: bool = True


Norm = Annotated[
    NoNorm | RMSNorm | LayerNorm | GlobalResponseNorm | InstanceNorm | GroupNorm | BatchNorm,
    Field(discriminator="type"),
    BY_NAME,
]
