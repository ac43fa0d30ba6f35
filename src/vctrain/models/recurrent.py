"""Memory beyond the receptive field in time: gated units over frames, beside a path around them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.components.recurrent import ConvGRU, ConvLSTM
from vctrain.models.causal import Past, resume_all
from vctrain.models.geometry import Space
from vctrain.models.memory import GRU, LSTM
from vctrain.models.norms import ChannelRMS
from vctrain.models.registry import builds


@builds(ConvGRU, ConvLSTM)
class RecurrentStage(nn.Module):
    """``(n, C, warmup + L, H, W)`` to ``(n, C + hidden, L, H, W)``: the input beside the state.

    The input is normalised over channels (an unnormalised one saturated the gates and left the state constant), and the
    readout keeps a path around the units, so a twin with them starts no slower than one without. Units on top of each
    other start together: one warm-up serves all.
    """

    def __init__(self, config: ConvGRU | ConvLSTM, space: Space) -> None:
        super().__init__()
        self.warmup = config.warmup
        self.norm = ChannelRMS(space.channels)
        make, layers = (LSTM, 1) if isinstance(config, ConvLSTM) else (GRU, config.layers)
        inputs = (space.channels, *[config.hidden] * (layers - 1))
        self.units = nn.ModuleList(make(channels, config.hidden, config.kernel) for channels in inputs)
        self.out = Space(space.channels + config.hidden, space.geometry)

    def forward(self, x: Tensor) -> Tensor:
        return self.resume(x, past=None)[0]

    def resume(self, x: Tensor, *, past: Past) -> tuple[Tensor, Past]:
        """As `Causal.resume`, from the states of the units; only their start has a warm-up."""
        states, kept = resume_all(self.units, self.norm(x), past)
        first = self.warmup if past is None else 0
        return torch.cat([x[:, :, first:], states[:, :, first:].to(x.dtype)], dim=1), kept
