"""How the behaviour of a frame changes its features: appended to them, scaling and shifting, or moving them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.modulators import BehaviorReader, Concat, Film, Stn
from vctrain.models.causal import Causal
from vctrain.models.geometry import Space
from vctrain.models.perceptron import Perceptron
from vctrain.models.registry import builds


class BehaviorEncoder(nn.Module):
    """Perceptron ``(n, T, D)`` to ``(n, T, dims[-1])``; a session without behaviour gets a learned constant instead.

    Behaviour is standardised first: after ``maxnorm`` a microsaccade is a few percent of the largest saccade.
    """

    def __init__(self, config: BehaviorReader, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.net = Perceptron(
            behavior_dim,
            config.dims,
            config.activation,
            residual=config.residual,
            dropout=config.dropout,
            last_activation=config.last_layer_activation,
        )
        # Constants of the training frames. Parameters, not buffers: DDP hands out rank 0's parameters at the start.
        self.mean = nn.Parameter(torch.zeros(behavior_dim), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(behavior_dim), requires_grad=False)
        self.out = config.dims[-1]
        self.null = nn.Parameter(torch.zeros(self.out)) if some_without else None

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


def beside(x: Tensor, encoded: Tensor) -> Tensor:
    """``(n, C, T, H, W)`` with the features of behaviour ``(n, T, E)`` of each frame appended at every position."""
    tiled = encoded.transpose(1, 2)[..., None, None].expand(-1, -1, -1, *x.shape[3:])
    return torch.cat([x, tiled.to(x.dtype)], dim=1)


@builds(Concat)
class ConcatModulator(Causal):
    """``(n, C, T, H, W)`` with the encoded behaviour of each frame appended at every position."""

    def __init__(self, config: Concat, space: Space, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.out = Space(space.channels + self.encoder.out, space.geometry)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        return beside(x, encoded)


@builds(Film)
class FilmModulator(Causal):
    """Feature-wise linear modulation (Perez et al. 2018): ``x * (1 + scale) + shift``, identity at the start."""

    def __init__(self, config: Film, space: Space, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.scale = nn.Linear(self.encoder.out, space.channels)
        self.shift = nn.Linear(self.encoder.out, space.channels)
        self.out = space
        for layer in (self.scale, self.shift):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        scale = self.scale(encoded).transpose(1, 2)[..., None, None]
        shift = self.shift(encoded).transpose(1, 2)[..., None, None]
        return x * (1 + scale) + shift


@builds(Stn)
class SpatialTransformer(Causal):
    """Each frame's map moved by an affine map that its behaviour chooses (Jaderberg et al. 2015), and blended:
    ``alpha * moved + (1 - alpha) * x``, with ``alpha`` of each channel in 0..1 from behaviour too.

    Identity at the start. The affine map is in half-widths of the feature map, rows (x, y); what it brings in from
    outside the map is zero.
    """

    def __init__(self, config: Stn, space: Space, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.theta = nn.Linear(self.encoder.out, 6)
        self.alpha = nn.Linear(self.encoder.out, space.channels)
        self.out = space
        for layer in (self.theta, self.alpha):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        n, channels, frames, height, width = x.shape
        theta = self.theta(encoded).float().view(n * frames, 2, 3)
        points = F.affine_grid(theta, [n * frames, channels, height, width], align_corners=False)
        flat = x.transpose(1, 2).reshape(n * frames, channels, height, width)
        # In float32: the coordinates of bfloat16 are off by a twentieth of a pixel.
        moved = F.grid_sample(flat.float(), points, mode="bilinear", padding_mode="zeros", align_corners=False)
        moved = moved.to(x.dtype).view(n, frames, channels, height, width).transpose(1, 2)
        alpha = torch.sigmoid(self.alpha(encoded)).transpose(1, 2)[..., None, None]
        return torch.lerp(x, moved, alpha.to(x.dtype))
