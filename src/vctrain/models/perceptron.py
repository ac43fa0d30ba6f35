"""The perceptrons that read behaviour and past spikes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vctrain.config.components.values import LayerActivation
from vctrain.models.activations import named_activation


class Perceptron(nn.Module):
    """``(..., inputs)`` to ``(..., dims[-1])``: linear layers, each followed by its activation and dropout.

    The last layer has no dropout, and an activation only with ``last_activation``. With ``residual`` a layer as wide as
    its input adds its input.
    """

    def __init__(
        self,
        inputs: int,
        dims: Sequence[int],
        activation: LayerActivation,
        *,
        residual: bool = False,
        dropout: float = 0.0,
        last_activation: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in zip((inputs, *dims), dims, strict=False)
        )
        self.activation, self.dropout = named_activation(activation), nn.Dropout(dropout)
        self.residual, self.last_activation = residual, last_activation

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            y: Tensor = layer(x)
            if index < last or self.last_activation:
                y = self.activation(y)
            if index < last:
                y = self.dropout(y)
            x = x + y if self.residual and x.shape[-1] == y.shape[-1] else y
        return x
