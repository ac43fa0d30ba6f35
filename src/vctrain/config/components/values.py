"""Which values may settings of several component families take?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

LayerActivation = Literal["none", "relu", "leakyrelu", "silu", "gelu", "mish", "tanh", "sigmoid", "softplus"]
"""Activations of a perceptron's layers."""


def _odd(side: int) -> int:
    if side < 1 or side % 2 == 0:
        raise ValueError("should be an odd number of pixels: an even kernel has no centre")
    return side


OddSide = Annotated[int, AfterValidator(_odd)]
"""Side of a centred kernel, in pixels."""
