"""The perceptron that reads behaviour, and spikes of the past, in old models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import Tensor, nn

from vctrain.config.legacy_blocks import LegacyPerceptron
from vctrain.models.legacy.activations import build_activation


class _Layer(nn.Module):
    """``dropout(act(linear(x)))``."""

    def __init__(self, linear: nn.Module, activation: str, dropout: float) -> None:
        super().__init__()
        self.linear = linear
        self.act = build_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.act(self.linear(x)))


class Perceptron(nn.Module):
    """``(n, inputs)`` to ``(n, outputs)``; submodules ``mlp.i.linear``, and ``mlp.i`` for a plain last layer.

    A residual adds the input to the output where both have one width.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        activation: str,
        bias: bool = True,
        residual: bool = False,
        dropout: float = 0.0,
        last_activation: bool = False,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.residual = residual and inputs == outputs

        def linear(a: int, b: int) -> nn.Module:
            layer = nn.Linear(a, b, bias=bias)
            if not spectral_norm:
                return layer
            with warnings.catch_warnings():  # the names of its tensors are those of this deprecated function
                warnings.simplefilter("ignore", FutureWarning)
                normalised: nn.Module = nn.utils.spectral_norm(layer)
            return normalised

        layers: list[nn.Module] = []
        width = inputs
        for size in hidden:
            layers.append(_Layer(linear(width, size), activation, dropout))
            width = size
        last = linear(width, outputs)
        layers.append(_Layer(last, activation, 0.0) if last_activation else last)
        self.mlp = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mlp(x)
        return x + y if self.residual else y


def behavior_encoder(config: LegacyPerceptron, width: int) -> Perceptron:
    """The perceptron of a modulator."""
    return Perceptron(
        width,
        config.dims[:-1],
        config.dims[-1],
        activation=config.activation,
        bias=config.bias,
        residual=config.residual,
        dropout=config.dropout,
        last_activation=config.last_layer_activation,
    )
