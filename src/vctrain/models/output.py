"""How a unit's drive becomes its rate, in spikes per bin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.config.components.baselines import LearnedBaseline
from vctrain.models.registry import builds

MAX_LOG_RATE = 15.0


def rate_of(output: str, drive: Tensor) -> Tensor:
    """``softplus``, ``exp`` or ``relu`` of the drive, in float32."""
    drive = drive.float()
    if output == "exp":
        return torch.exp(drive.clamp_max(MAX_LOG_RATE))
    return F.relu(drive) if output == "relu" else F.softplus(drive)


def drive_of(output: str, rate: Tensor) -> Tensor:
    """The drive that gives a positive ``rate``: the inverse of `rate_of`."""
    if output == "exp":
        return rate.log()
    return rate if output == "relu" else rate + torch.log(-torch.expm1(-rate))


@builds(LearnedBaseline)
class PositiveBaseline(nn.Module):
    """A rate of each unit ``(U,)``, in spikes per bin, never negative."""

    def __init__(self, config: LearnedBaseline, units: int) -> None:
        super().__init__()
        self.softly = config.activation == "softplus"
        start = math.log(math.expm1(config.init)) if self.softly else config.init
        self.raw = nn.Parameter(torch.full((units,), start))

    def forward(self) -> Tensor:
        return F.softplus(self.raw) if self.softly else F.relu(self.raw)
