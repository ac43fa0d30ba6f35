"""How behaviour changes the shared features: appended to them, or as a scale and shift of every channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.components.modulators import Concat, Film


class BehaviorEncoder(nn.Module):
    """Perceptron ``(n, T, D)`` to ``(n, T, out)``; a session without behaviour gets a learned constant instead.

    Behaviour is standardised first: after ``maxnorm`` a microsaccade is a few percent of the largest saccade.
    """

    def __init__(self, config: Concat | Film, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(behavior_dim, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.out),
            nn.GELU(),
        )
        # Constants of the training frames. Parameters, not buffers: DDP hands out rank 0's parameters at the start.
        self.mean = nn.Parameter(torch.zeros(behavior_dim), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(behavior_dim), requires_grad=False)
        self.out = config.out
        self.null = nn.Parameter(torch.zeros(config.out)) if some_without else None

    @torch.no_grad()
    def set_moments(self, mean: Tensor, std: Tensor) -> None:
        """Standardise behaviour by ``mean`` and ``std`` ``(D,)`` of training frames; a column that never changes is
        left alone."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(std > 1e-6, 1 / std.clamp_min(1e-6), torch.ones_like(std)))

    def forward(self, behavior: Tensor | None, n: int, frames: int) -> Tensor:
        if behavior is not None:
            encoded: Tensor = self.net((behavior - self.mean) * self.scale)
            return encoded
        if self.null is None:
            raise ValueError("a session without behaviour reached a modulator that was built for sessions with it")
        return self.null.expand(n, frames, -1)


class ConcatModulator(nn.Module):
    """``(n, C, T, H, W)`` with the encoded behaviour of each frame appended at every position."""

    def __init__(self, config: Concat, channels: int, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.out_channels = channels + config.out

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        tiled = encoded.transpose(1, 2)[..., None, None].expand(-1, -1, -1, *x.shape[3:])
        return torch.cat([x, tiled.to(x.dtype)], dim=1)


class FilmModulator(nn.Module):
    """Feature-wise linear modulation (Perez et al. 2018): ``x * (1 + scale) + shift``, identity at the start."""

    def __init__(self, config: Film, channels: int, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.scale = nn.Linear(config.out, channels)
        self.shift = nn.Linear(config.out, channels)
        self.out_channels = channels
        for layer in (self.scale, self.shift):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        scale = self.scale(encoded).transpose(1, 2)[..., None, None]
        shift = self.shift(encoded).transpose(1, 2)[..., None, None]
        return x * (1 + scale) + shift
