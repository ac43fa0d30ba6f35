"""What behaviour ``(n, D)`` does to the features of windows ``(n, C, T, H, W)`` in old models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.legacy_parts import (
    EncoderParams,
    GruModulatorParams,
    LegacyConcat,
    LegacyFilm,
    LegacyGruModulator,
    LegacyPrediction,
    LegacyStn,
    PredictionParams,
    RecurrentParams,
    StnParams,
)
from vctrain.errors import UsageError
from vctrain.models.legacy.perceptron import behavior_encoder
from vctrain.models.legacy.recurrent import GatedLayers, LastState, build_gru
from vctrain.models.legacy.semantics import Code


def tile(values: Tensor, x: Tensor) -> Tensor:
    """Values ``(n, D)`` at every position of ``x``."""
    return values[:, :, None, None, None].expand(-1, -1, *x.shape[2:])


class OldConcat(nn.Module):
    """Behaviour features after the channels."""

    reads_time = False

    def __init__(self, params: EncoderParams, channels: int) -> None:
        super().__init__()
        self.encoder = behavior_encoder(params.encoder_params, params.width)
        self.out_channels = channels + params.encoder_params.dims[-1]

    def forward(self, x: Tensor, behavior: Tensor) -> Tensor:
        return torch.cat([x, tile(self.encoder(behavior), x)], dim=1)


class OldFilm(nn.Module):
    """``scale * x + shift`` of each channel (Perez et al. 2018)."""

    reads_time = False

    def __init__(self, params: EncoderParams, channels: int) -> None:
        super().__init__()
        self.encoder = behavior_encoder(params.encoder_params, params.width)
        width = params.encoder_params.dims[-1]
        self.scale_layer, self.shift_layer = nn.Linear(width, channels), nn.Linear(width, channels)
        self.out_channels = channels
        nn.init.ones_(self.scale_layer.weight)
        for tensor in (self.scale_layer.bias, self.shift_layer.weight, self.shift_layer.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: Tensor, behavior: Tensor) -> Tensor:
        encoded = self.encoder(behavior)
        return tile(self.scale_layer(encoded), x) * x + tile(self.shift_layer(encoded), x)


class OldStn(nn.Module):
    """Every frame warped by one affine map and mixed with itself, channel by channel (Jaderberg et al. 2015)."""

    reads_time = False

    def __init__(self, params: StnParams, channels: int) -> None:
        super().__init__()
        self.encoder = behavior_encoder(params.encoder_params, params.width)
        width = params.encoder_params.dims[-1]
        self.theta_head, self.alpha_head = nn.Linear(width, 6), nn.Linear(width, channels)
        self.out_channels = channels
        for tensor in (self.theta_head.weight, self.alpha_head.weight, self.alpha_head.bias):
            nn.init.zeros_(tensor)
        with torch.no_grad():
            self.theta_head.bias.copy_(torch.eye(2, 3).flatten())

    def forward(self, x: Tensor, behavior: Tensor) -> Tensor:
        encoded = self.encoder(behavior)
        n, channels, frames, height, width = x.shape
        points = F.affine_grid(self.theta_head(encoded).view(-1, 2, 3), [n, 1, height, width], align_corners=False)
        image = x.reshape(n, channels * frames, height, width)  # one map for all frames: they are sampled as channels
        warped = F.grid_sample(image, points.to(x.dtype), "bilinear", "zeros", align_corners=False).view_as(x)
        alpha = tile(torch.sigmoid(self.alpha_head(encoded)), x)
        return alpha * warped + (1 - alpha) * x


def _gru(params: GruModulatorParams, channels: int, code: Code) -> LastState | GatedLayers:
    settings = RecurrentParams(hidden_dim=params.hidden_dim or channels, kernel_size=params.kernel_size)
    return build_gru(channels + params.beh_emb_dim, settings, code)


class OldGruModulator(nn.Module):
    """A convolutional GRU over the lags of features beside behaviour; its last state through ``output_proj``."""

    reads_time = True

    def __init__(self, params: GruModulatorParams, channels: int, code: Code) -> None:
        super().__init__()
        self.beh_emb = nn.Linear(params.width, params.beh_emb_dim)
        self.gru = _gru(params, channels, code)
        self.out_channels = self.gru.out_channels
        self.output_proj = nn.Conv2d(self.out_channels, self.out_channels, 1)

    def forward(self, x: Tensor, behavior: Tensor) -> Tensor:
        state = self.gru(torch.cat([x, tile(self.beh_emb(behavior), x)], dim=1))
        state = state[:, :, -1] if state.dim() == 5 else state
        return self.output_proj(state)[:, :, None]


class PredictiveCoding(nn.Module):
    """The oldest frame, and how it differs from what a GRU over the newer ones foresaw; ``(n, C or 2C, 1, H, W)``.

    In training mode ``error`` keeps the difference ``(n, C, H, W)`` of the last pass. Where the GRU's width is not that
    of the features, ``output_proj`` brings it there; old code made it during the first pass, so it was stored but never
    trained (defect B6).
    """

    reads_time = True

    def __init__(self, params: PredictionParams, channels: int, code: Code) -> None:
        super().__init__()
        self.beh_emb = nn.Linear(params.width, params.beh_emb_dim)
        self.predictor = _gru(params, channels, code)
        width = self.predictor.out_channels
        self.output_proj = nn.Conv2d(width, channels, 1) if width != channels else None
        self.beside = params.concat_error
        self.out_channels = channels * (2 if self.beside else 1)
        self.error: Tensor | None = None

    def forward(self, x: Tensor, behavior: Tensor) -> Tensor:
        """Raises UsageError for a window of one slot."""
        if x.shape[2] < 2:
            raise UsageError(
                "predictive coding needs two slots of a window or more, and one is left",
                hint="check lags and the kernels over time",
            )
        past, actual = x[:, :, :-1], x[:, :, -1]
        foreseen = self.predictor(torch.cat([past, tile(self.beh_emb(behavior), past)], dim=1))
        foreseen = foreseen if self.output_proj is None else self.output_proj(foreseen)
        error = actual - foreseen
        self.error = error if self.training else None
        return (torch.cat([actual, error], dim=1) if self.beside else error)[:, :, None]

    def squares(self, counts: Sequence[Tensor | None], sizes: Sequence[int]) -> list[Tensor]:
        """Of the last pass in training mode, for each session (``sizes`` windows): the sum of the squared errors of
        windows that count, and their number."""
        found = []
        if self.error is not None:
            for error, count in zip(self.error.split(list(sizes)), counts, strict=True):
                square = error.float().square().mean((1, 2, 3))
                weight = torch.ones_like(square) if count is None else count.to(square)
                found.append(torch.stack([(square * weight).sum(), weight.sum()]))
        return found


def build_modulator(config: Any, channels: int, code: Code) -> nn.Module | None:
    """The modulator of a config, None for none."""
    if isinstance(config, LegacyConcat):
        return OldConcat(config.params, channels)
    if isinstance(config, LegacyFilm):
        return OldFilm(config.params, channels)
    if isinstance(config, LegacyStn):
        return OldStn(config.params, channels)
    if isinstance(config, LegacyGruModulator):
        return OldGruModulator(config.params, channels, code)
    if isinstance(config, LegacyPrediction):
        return PredictiveCoding(config.params, channels, code)
    return None
