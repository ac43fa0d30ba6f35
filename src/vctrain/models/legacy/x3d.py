"""Expanded separable units, the convnet of the old x3d configs; their lags are padded on both sides, not causally."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.legacy_blocks import LegacyBlock
from vctrain.config.legacy_nets import X3DParams
from vctrain.models.legacy.activations import build_activation
from vctrain.models.legacy.blocks import LegacyConvBlock
from vctrain.models.legacy.convs import LegacyKernelConv
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.windows import Features, dense


class X3DUnit(nn.Module):
    """Kernels over lags and over space, each channel by itself; expansion and projection; ``act(y + shortcut)``."""

    def __init__(self, params: X3DParams, in_channels: int, channels: int, stride: tuple[int, int], code: Code) -> None:
        super().__init__()
        time, space = stride
        hidden = int(channels * params.exp_ratio)

        def block(
            size: tuple[int, int, int],
            steps: tuple[int, int, int],
            inputs: int,
            outputs: int,
            alone: bool,
            act: str = "none",
            dropout: float = 0.0,
        ) -> LegacyConvBlock:
            kind = "depthwise" if alone and params.pointwise else "standard"
            conv = {
                "type": kind,
                "kernel_size": size,
                "stride": steps,
                "padding": tuple(taps // 2 for taps in size),
                "groups": inputs if alone and kind == "standard" else 1,
                "bias": False,
            }
            settings = {
                "conv_params": conv,
                "norm_type": params.norm_type,
                "act_type": act,
                "dropout": dropout,
                "causal": False,
            }
            return LegacyConvBlock(LegacyBlock.model_validate(settings), inputs, outputs, code)

        t, s = params.t_kernel, params.s_kernel
        self.pre_temporal = block((t, 1, 1), (time, 1, 1), in_channels, in_channels, True)
        self.pre_spatial = block((1, s, s), (1, space, space), in_channels, in_channels, True)
        self.expand = block((1, 1, 1), (1, 1, 1), in_channels, hidden, False, params.act_type, params.dropout)
        self.project = block((1, 1, 1), (1, 1, 1), hidden, channels, False)
        self.proj: nn.Module | None = None
        if in_channels != channels or stride != (1, 1):
            steps = (time, space, space)
            if params.bare_shortcut:
                self.proj = LegacyKernelConv(in_channels, channels, (1, 1, 1), stride=steps, bias=False)
            else:
                self.proj = block((1, 1, 1), steps, in_channels, channels, False)
        self.act = build_activation(params.act_type)
        self.skip = params.stochastic_depth

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.proj is None else self.proj(x)
        if self.training and self.skip > 0 and float(torch.rand(1)) < self.skip:
            # A zero of the skipped parameters, so that under DDP all take part in every pass.
            return self.act(identity) + sum(p.flatten()[0] * 0.0 for p in self.parameters() if p.requires_grad)
        y = self.project(self.expand(self.pre_spatial(self.pre_temporal(x))))
        frames = min(y.shape[2], identity.shape[2])
        return self.act(y[:, :, :frames] + identity[:, :, :frames])


class WindowGate(nn.Module):
    """Squeeze and excitation over a whole window."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.attn = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, hidden, 1),
            nn.SiLU(),
            nn.Conv3d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attn(x)


class X3DNet(nn.Module):
    """Stages of units, ``layers.i``; a gate follows the stage that ``attention_stage`` names.

    Built to the letter of the specification; no old checkpoint was at hand to compare with.
    """

    def __init__(self, params: X3DParams, in_channels: int, code: Code) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        stages = len(params.channels)
        gated = None if params.attention_stage is None else params.attention_stage % stages
        self.stride = 1
        for stage, channels in enumerate(params.channels):
            time = params.per_stage(params.stride_stages)[stage]
            space = params.per_stage(params.spatial_stride_stages)[stage]
            for unit in range(params.per_stage(params.depth)[stage]):
                stride = (time, space) if unit == 0 else (1, 1)
                self.layers.append(X3DUnit(params, in_channels, channels, stride, code))
                in_channels = channels
            self.stride *= space
            if stage == gated:
                self.layers.append(WindowGate(channels, params.se_reduction))
        self.out_channels = in_channels
        self.final = build_activation(params.final_activation)

    def forward(self, x: Features) -> Tensor:
        y = dense(x)
        for layer in self.layers:
            y = layer(y)
        return self.final(y)
