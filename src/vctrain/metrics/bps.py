"""Bits per spike from exact sufficient statistics, per unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

RATE_FLOOR = 1e-8
"""Rates enter the logarithm as ``max(rate, 1e-8)``; one definition for every figure."""


@dataclass
class PoissonSums:
    """Per-unit sums over valid frames, float64 ``(U,)`` each; adding two of them merges their frames.

    ``frames`` n, ``spikes`` sum r, ``rate`` sum rhat, ``log_likelihood`` sum r ln max(rhat, 1e-8).
    """

    frames: Tensor
    spikes: Tensor
    rate: Tensor
    log_likelihood: Tensor

    @classmethod
    def zeros(cls, units: int, device: torch.device | str = "cpu") -> PoissonSums:
        """No frames yet."""
        return cls(*(torch.zeros(units, dtype=torch.float64, device=device) for _ in range(4)))

    @classmethod
    def of(cls, rate: Tensor, robs: Tensor, dfs: Tensor) -> PoissonSums:
        """Sums over all but the last axis: ``rate`` and ``robs`` ``(..., U)`` spikes per bin, ``dfs`` ``(..., U)`` or
        ``(..., 1)``.

        Entries with ``dfs`` 0 do not count, whatever they hold (NaN included).
        """
        units = robs.shape[-1]
        valid = (dfs > 0).expand_as(robs).reshape(-1, units)
        zero = torch.zeros((), dtype=torch.float64, device=robs.device)
        spikes = torch.where(valid, robs.reshape(-1, units).double(), zero)
        predicted = torch.where(valid, rate.reshape(-1, units).double(), zero)
        log = torch.where(valid, spikes * predicted.clamp_min(RATE_FLOOR).log(), zero)
        return cls(valid.double().sum(0), spikes.sum(0), predicted.sum(0), log.sum(0))

    def __add__(self, other: PoissonSums) -> PoissonSums:
        return PoissonSums(
            self.frames + other.frames,
            self.spikes + other.spikes,
            self.rate + other.rate,
            self.log_likelihood + other.log_likelihood,
        )

    def stacked(self) -> Tensor:
        """``(4, U)``, for one all-reduce."""
        return torch.stack([self.frames, self.spikes, self.rate, self.log_likelihood])

    @classmethod
    def from_stacked(cls, stacked: Tensor) -> PoissonSums:
        """The inverse of `stacked`."""
        return cls(*stacked.unbind(0))

    def bits_per_spike(self) -> Tensor:
        """BPS of each unit over its mean-rate null model on these frames, float64 ``(U,)``; NaN for a unit without a
        spike.

        ``[(sum r ln rhat - sum rhat) - (sum r ln rbar - n rbar)] / (sum r ln 2)`` with ``rbar = sum r / n``: the
        difference of Poisson log-likelihoods in bits, per observed spike (Brenner et al. 2000; Pillow et al. 2008). May
        be negative.
        """
        spikes = self.spikes
        mean = spikes / self.frames
        null = spikes * mean.clamp_min(RATE_FLOOR).log() - spikes
        gain = (self.log_likelihood - self.rate - null) / (spikes * math.log(2.0))
        return torch.where(spikes > 0, gain, torch.full_like(gain, math.nan))


def mean_over_units(bps: Tensor) -> float | None:
    """Mean over the units that have a value (at least one spike); None when none has.

    >>> mean_over_units(torch.tensor([1.0, math.nan, 2.0]))
    1.5
    """
    values = bps[~bps.isnan()]
    return None if values.numel() == 0 else float(values.mean())


def overall(session_means: list[float | None]) -> float | None:
    """Unweighted mean over the sessions that have a value; None when none has.

    >>> overall([0.5, None, 1.0])
    0.75
    """
    values = [value for value in session_means if value is not None]
    return None if not values else math.fsum(values) / len(values)
