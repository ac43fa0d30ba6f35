"""Where do the readouts of a legacy twin begin: at which rates, and where on the feature map?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vctrain.models.geometry import Geometry
from vctrain.models.legacy.activations import inverse
from vctrain.models.legacy.adapter import OldAdapter

LEAST_RATE = 1e-4
"""Spikes a bin: what a silent unit of a new session starts from."""


@torch.no_grad()
def put_rates(bias: Tensor, rates: Tensor, baseline: Tensor | None, activation: nn.Module, *, log_rate: bool) -> None:
    """Set ``bias`` ``(U,)`` so that units without features fire at ``rates`` (spikes a bin), ``baseline`` included."""
    wanted = rates.to(bias).clamp_min(LEAST_RATE)
    wanted = wanted.log() if log_rate else wanted
    if baseline is not None:
        wanted = wanted - baseline
    wanted = wanted if log_rate else wanted.clamp_min(LEAST_RATE)
    bias.copy_(inverse(activation, wanted))


@torch.no_grad()
def put_positions(centres: Iterable[Tensor], positions: Tensor, adapter: nn.Module, map_: Geometry, side: int) -> None:
    """Set the ``centres`` of masks to ``positions`` ``(U, 2)``: (y, x) in -1..1 over a stimulus of ``side`` pixels on
    the grid that the ``adapter`` writes."""
    limit = (map_.size - 1) / 2
    for mean in centres:
        place = positions.to(mean)
        if isinstance(adapter, OldAdapter):
            place = place / adapter.span().to(mean)
        mean.copy_((place * ((side - 1) / 2) / map_.stride).clamp(-limit, limit))
