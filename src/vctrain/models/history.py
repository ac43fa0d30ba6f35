"""What a unit's drive takes from the spikes of its session before the frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vctrain.config.components.histories import MLPHistory
from vctrain.models.perceptron import Perceptron
from vctrain.models.registry import builds


@builds(MLPHistory)
class SpikeHistory(nn.Module):
    """Counts ``(n, R + L, U)`` to what they add to the drives of the last L frames, ``(n, L, U)``; ``R = num_lags``.

    A frame reads the counts of all units in the R frames before it, never its own. Nothing is added at the start.
    """

    def __init__(self, config: MLPHistory, units: int) -> None:
        super().__init__()
        self.num_lags = config.num_lags
        self.net = Perceptron(config.num_lags * units, (*config.hidden, units), config.activation)
        last = self.net.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, counts: Tensor) -> Tensor:
        past = counts[:, :-1].unfold(1, self.num_lags, 1)  # (n, L, U, R)
        added: Tensor = self.net(torch.flatten(past, 2))
        return added
