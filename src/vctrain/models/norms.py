"""Normalisations that never look across time, so a frame's prediction does not depend on its clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelRMS(nn.Module):
    """Root-mean-square over channels at each frame and position, with gain and offset (Zhang and Sennrich 2019)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(1, keepdim=True) + self.eps)
        return torch.addcmul(self.beta.view(1, -1, 1, 1, 1), x * scale, self.gamma.view(1, -1, 1, 1, 1))


class SpatialGRN(nn.Module):
    """Global response normalisation over space only, frame by frame (Woo et al. 2023, ConvNeXt V2).

    ``y = gamma * x * g / mean_c(g) + beta + x`` with ``g`` the L2 norm of a channel over height and width of one frame.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.full((channels,), 0.1))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = x.square().sum((3, 4), keepdim=True)
        # sqrt has no gradient at zero, where a blank (mean-grey) frame puts it.
        norm = torch.sqrt(energy + self.eps**2)
        relative = norm / (norm.mean(1, keepdim=True) + self.eps)
        return x * (1 + self.gamma.view(1, -1, 1, 1, 1) * relative) + self.beta.view(1, -1, 1, 1, 1)


def build_norm(kind: str, channels: int) -> nn.Module:
    """The norm layer named ``kind`` for ``channels`` channels."""
    makers = {"none": nn.Identity, "rms": ChannelRMS, "grn": SpatialGRN}
    return nn.Identity() if kind == "none" else makers[kind](channels)
