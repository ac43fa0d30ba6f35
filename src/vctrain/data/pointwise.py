"""What does an operation make of a number, wherever the number stands: a pixel of a movie, a frame of a signal?"""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor

from vctrain.config.transforms import Cast, Mul, PointwiseOp, SymLog


def pointwise(op: PointwiseOp, values: Tensor) -> Tensor:
    """`op` of every one of `values`, float32 of any shape."""
    if isinstance(op, SymLog):
        return torch.sign(values) * torch.log1p(values.abs())
    if isinstance(op, Mul):
        return values * op.value
    if isinstance(op, Cast):
        return _rounded(op, values)
    assert_never(op)


def _rounded(op: Cast, values: Tensor) -> Tensor:
    """`values` rounded through the type of `op`, float32; those beyond its range become its largest."""
    kind: torch.dtype = getattr(torch, op.value)
    largest = torch.finfo(kind).max
    return values.clamp(-largest, largest).to(kind).float()
