"""How the behaviour of the frames so far changes features: gated units that read both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.components.modulators import BehaviorGRU, PredictiveCoding
from vctrain.models.causal import Past
from vctrain.models.geometry import Space
from vctrain.models.memory import GRU
from vctrain.models.modulator import BehaviorEncoder, beside
from vctrain.models.norms import ChannelRMS
from vctrain.models.registry import builds


@builds(BehaviorGRU)
class ConvGRUModulator(nn.Module):
    """``(n, C, warmup + L, H, W)`` to ``(n, hidden, L, H, W)``: the state of a GRU over features and behaviour.

    The features are normalised over channels first, as in the recurrent stage.
    """

    def __init__(self, config: BehaviorGRU, space: Space, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.warmup = config.warmup
        self.norm = ChannelRMS(space.channels)
        self.unit = GRU(space.channels + self.encoder.out, config.hidden, config.kernel)
        self.out = Space(config.hidden, space.geometry)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        return self.resume(x, encoded, past=None)[0]

    def resume(self, x: Tensor, encoded: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """As `Causal.resume`, from the state of the unit; only its start has a warm-up."""
        states, kept = self.unit.resume(beside(self.norm(x), encoded), past=past)
        return states[:, :, self.warmup if past is None else 0 :].to(x.dtype), kept


@builds(PredictiveCoding)
class PredictiveCodingModulator(nn.Module):
    """``(n, C, warmup + L, H, W)`` to ``(n, 2 C, L, H, W)``: the features beside the error of their prediction
    (``concat_error``), or ``(n, C, L, H, W)``, the error alone.

    A GRU over the features and behaviour of frames before t gives the prediction of frame t through a 1x1 convolution
    (Rao and Ballard 1999 for the idea; Lotter et al. 2017 for a recurrent form). ``errors`` holds those of the last
    pass in training mode, ``(n, C, L, H, W)`` with its graph: their mean square is the auxiliary loss.
    """

    def __init__(self, config: PredictiveCoding, space: Space, behavior_dim: int, some_without: bool) -> None:
        super().__init__()
        self.encoder = BehaviorEncoder(config, behavior_dim, some_without)
        self.warmup, self.concat_error = config.warmup, config.concat_error
        self.norm = ChannelRMS(space.channels)
        self.unit = GRU(space.channels + self.encoder.out, config.hidden, config.kernel)
        self.predict = nn.Conv3d(config.hidden, space.channels, 1)
        self.out = Space(space.channels * (2 if config.concat_error else 1), space.geometry)
        self.errors: Tensor | None = None

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        return self.resume(x, encoded, past=None)[0]

    def resume(self, x: Tensor, encoded: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """As `Causal.resume`, from the state of the unit and what it is to read next; only its start has a warm-up."""
        read = beside(self.norm(x), encoded)
        # The state after frame t - 1 predicts frame t: the last frame waits for the next call.
        state, waiting = (None, None) if past is None else past
        before = read[:, :, :-1] if waiting is None else torch.cat([waiting, read[:, :, :-1]], dim=2)
        states, state = self.unit.resume(before, past=state)
        first = self.warmup if past is None else 0
        actual = x[:, :, first:]
        errors: Tensor = actual - self.predict(states[:, :, max(first - 1, 0) :])
        self.errors = errors if self.training else None
        out = torch.cat([actual, errors.to(x.dtype)], dim=1) if self.concat_error else errors
        return out, (state, read[:, :, -1:])
