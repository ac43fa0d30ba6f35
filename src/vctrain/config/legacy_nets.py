"""Settings of old convnets: residual, dense, plain, and expanded separable units."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, PositiveFloat, PositiveInt, model_validator

from vctrain.config.base import Config
from vctrain.config.legacy_blocks import LegacyBlock, LegacyStem, Name, Sizes, Tolerant, none_as_mapping
from vctrain.errors import UsageError


class NetParams(Tolerant):
    """What all convnets share; the old system passed over keys that it did not know."""

    channels: tuple[PositiveInt, ...] = Field(min_length=1)
    block_config: LegacyBlock | None = None
    """For all blocks."""
    block_configs: tuple[LegacyBlock, ...] | None = None
    """For each block."""
    stem_config: LegacyStem | None = None
    final_activation: Name = "none"
    dim: Literal[3] = 3
    checkpointing: bool = False
    """Never read: it saved memory."""

    @property
    def blocks(self) -> tuple[LegacyBlock, ...]:
        """The settings of each block."""
        if self.block_configs is not None:
            return self.block_configs
        return (self.block_config,) * len(self.channels) if self.block_config is not None else ()

    @model_validator(mode="after")
    def _blocks(self) -> NetParams:
        if len(self.blocks) != len(self.channels):
            raise UsageError(
                f"convnet.params.channels has {len(self.channels)} entries, block_configs {len(self.blocks)}",
                hint="give one block_config for all blocks, or one in block_configs for each of channels",
            )
        return self


class ShortcutParams(Tolerant):
    """The convolution of a shortcut."""

    kernel_size: Sizes = 1
    bias: bool = False
    padding: Sizes = 0


class ResNetParams(NetParams):
    """Residual blocks."""

    resnet_shortcut_params: Annotated[ShortcutParams, BeforeValidator(none_as_mapping)] = ShortcutParams()
    resnet_shortcut_norm_type: Annotated[
        Literal["none", "batch", "instance", "group", "rms", "layer", "grn"],
        BeforeValidator(lambda value: value or "none"),
    ] = "none"
    resnet_shortcut_projection: bool = True
    resnet_post_add_activation: Name = "none"


class LegacyResNet(Config):
    """Residual blocks."""

    type: Literal["resnet"]
    params: ResNetParams


class LegacyDenseNet(Config):
    """Blocks that read all features before them."""

    type: Literal["densenet"]
    params: NetParams


class LegacyVanilla(Config):
    """Blocks one after another."""

    type: Literal["vanilla", "conv", "cnn"]
    params: NetParams


PerStage = int | tuple[int, ...]
"""One value for all stages, or one a stage."""


class X3DParams(Tolerant):
    """Expanded separable units (after X3D, Feichtenhofer 2020)."""

    channels: tuple[PositiveInt, ...] = Field(min_length=1)
    depth: PerStage = 1
    """Units a stage."""
    t_kernel: PositiveInt = 5
    s_kernel: PositiveInt = 3
    exp_ratio: PositiveFloat = 4
    norm_type: Literal["none", "batch", "instance", "group", "rms", "layer", "grn"] = "grn"
    act_type: Name = "silu"
    dropout: float = Field(0.1, ge=0.0, le=1.0)
    stochastic_depth: float = Field(0.1, ge=0.0, lt=1.0)
    stride_stages: PerStage = 1
    spatial_stride_stages: PerStage = 1
    attention_stage: int | None = None
    """Index of the stage that ends with a gate over channels; -1 is the last."""
    se_reduction: PositiveInt = 16
    lite_lk: Literal[False] = False
    lk_every: JsonValue = None
    pointwise: bool = False
    """Whether the kernels of single channels are followed by a mixture of channels; their tensors tell."""
    bare_shortcut: bool = True
    """Whether shortcuts are convolutions without a norm; their tensors tell."""
    final_activation: Name = "none"
    dim: Literal[3] = 3
    checkpointing: bool = False
    """Never read: it saved memory."""

    def per_stage(self, value: int | tuple[int, ...]) -> tuple[int, ...]:
        """``value`` for each stage."""
        return value if isinstance(value, tuple) else (value,) * len(self.channels)

    @model_validator(mode="after")
    def _stages(self) -> X3DParams:
        for name in ("depth", "stride_stages", "spatial_stride_stages"):
            if len(self.per_stage(getattr(self, name))) != len(self.channels):
                raise UsageError(
                    f"convnet.params.channels has {len(self.channels)} stages, {name} another number",
                    hint=f"give one value for all stages in {name}, or one a stage",
                )
        return self


class LegacyX3D(Config):
    """Expanded separable units."""

    type: Literal["x3d", "x3dnet"]
    params: X3DParams
