"""How are temporal kernels applied to every pixel of a movie?"""

from __future__ import annotations

import torch
from torch import Tensor


def banded(kernels: Tensor, frames: int) -> Tensor:
    """The matrices ``(..., taps)`` to ``(..., frames - taps + 1, frames)`` that apply ``kernels`` to ``frames`` frames:
    row t holds the kernel at columns t to t + taps - 1."""
    taps = kernels.shape[-1]
    flat = kernels.reshape(-1, taps)
    rows = frames - taps + 1
    band = flat.new_zeros(len(flat), rows, frames + 1)
    # With rows one longer than the frames, the band is one strided view of the rows laid end to end.
    diagonal = torch.as_strided(band, (len(flat), rows, taps), (band.stride(0), frames + 2, 1))
    diagonal.copy_(flat[:, None].expand(-1, rows, -1))
    return band[:, :, :frames].reshape(*kernels.shape[:-1], rows, frames)


def filtered(x: Tensor, kernels: Tensor) -> Tensor:
    """Movies ``(n, G, T, H, W)`` through ``kernels`` ``(G, K, taps)``, newest tap last: ``(n, G * K, T - taps + 1, H,
    W)``.

    Causal and unpadded: an output frame reads that frame and the ``taps - 1`` before it. Computed as one matrix product
    with the banded matrix of the kernels: on a CPU this is about three times faster than the convolution of a single
    input channel, and at most ``T / taps`` times the arithmetic.
    """
    n, groups, frames, height, width = x.shape
    matrix = banded(kernels, frames).flatten(1, 2).to(x.dtype)
    pixels = x.reshape(n, groups, frames, height * width)
    # One matrix for all clips is one product; with groups each has its own.
    y = matrix[0] @ pixels[:, 0] if groups == 1 else matrix @ pixels
    return y.reshape(n, groups * kernels.shape[1], -1, height, width)
