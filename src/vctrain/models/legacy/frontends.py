"""Which module computes a config's frontend."""

from __future__ import annotations

from torch import nn

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.legacy_parts import (
    LegacyAdapter,
    LegacyBasis,
    LegacyConvFrontend,
    LegacyDynamicAdaptation,
    LegacyTemporal,
)
from vctrain.models.legacy.adapter import OldAdapter
from vctrain.models.legacy.blocks import LegacyConvBlock
from vctrain.models.legacy.fixed import DynamicAdaptation, LagBasis
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.temporal import HeadTemporal, OldTemporal
from vctrain.models.legacy.windows import Features, Windows


class FrontendAdapter(OldAdapter):
    """An adapter that all sessions share, in the frontend's place."""

    def __init__(self, config: LegacyAdapter, channels: int) -> None:
        super().__init__(config.params)
        self.out_channels = channels

    def forward(self, x: Features) -> Features:  # type: ignore[override]
        return x.map(super().forward) if isinstance(x, Windows) else super().forward(x)


def build_frontend(config: LegacyModelConfig, code: Code) -> nn.Module | None:
    """The frontend of a config, None for none."""
    frontend, channels = config.frontend, config.initial_input_channels
    if isinstance(frontend, LegacyAdapter):
        return FrontendAdapter(frontend, channels)
    if isinstance(frontend, LegacyTemporal):
        return HeadTemporal(frontend.params, channels) if code.head else OldTemporal(frontend.params, channels, code)
    if isinstance(frontend, LegacyDynamicAdaptation):
        return DynamicAdaptation(frontend.params, channels, config.sampling_rate)
    if isinstance(frontend, LegacyBasis):
        return LagBasis(frontend.params, channels)
    if isinstance(frontend, LegacyConvFrontend):
        return LegacyConvBlock(frontend.params, channels, frontend.params.out_channels, code)
    return None
