"""How a frame is split into its fine and its coarse part: one level of a Laplacian pyramid (Burt & Adelson 1983)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def _kernel(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device, dtype=x.dtype) / 16 * math.sqrt(2)
    return torch.outer(taps, taps)[None, None]


def halved(x: Tensor) -> Tensor:
    """Images ``(n, 1, H, W)`` blurred under reflecting edges, every second pixel."""
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), _kernel(x), stride=2)


def doubled(x: Tensor, height: int, width: int) -> Tensor:
    """Images between whose pixels zeros are set, blurred, ``height`` x ``width``.

    The far edges get one pixel less, or a row of zeros, by the parity of the size.
    """
    y = F.pad(x, (1, 1, 1, 1), mode="reflect")
    spread = y.new_zeros(*y.shape[:2], 2 * y.shape[2] - 1, 2 * y.shape[3] - 1)
    spread[..., ::2, ::2] = y
    bottom, right = (3 - height % 2) % 2, (3 - width % 2) % 2
    return F.conv2d(F.pad(spread, (0, right, 0, bottom)), _kernel(x))


def fine_and_coarse(x: Tensor) -> Tensor:
    """``(n, 1, T, H, W)`` to ``(n, 2, T, H, W)``: what blurring takes from each frame, and what it leaves."""
    n, _, frames, height, width = x.shape
    images = x.reshape(n * frames, 1, height, width)
    coarse = doubled(halved(images), height, width).view(n, 1, frames, height, width)
    return torch.cat([x - coarse, coarse], dim=1)
