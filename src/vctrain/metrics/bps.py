"""Bits per spike from exact sufficient statistics, per unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vctrain.metrics.poisson import RATE_FLOOR, bits_per_spike


def poisson_sums(rate: Tensor, robs: Tensor, dfs: Tensor, dim: int) -> Tensor:
    """n, sum r, sum rhat and sum r ln max(rhat, 1e-8) over the entries of ``dim`` that count, float64 ``(..., 4, U)``.

    ``rate`` and ``robs`` are ``(..., U)`` spikes per bin, ``dfs`` ``(..., U)`` or ``(..., 1)``. What does not count may
    be anything, NaN included.
    """
    valid = (dfs > 0).expand_as(robs)
    zero = torch.zeros((), dtype=torch.float64, device=robs.device)
    spikes = torch.where(valid, robs.double(), zero)
    predicted = torch.where(valid, rate.double(), zero)
    log = torch.where(valid, spikes * predicted.clamp_min(RATE_FLOOR).log(), zero)
    return torch.stack([part.sum(dim) for part in (valid.double(), spikes, predicted, log)], dim=-2)


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
        rates, counts, valid = (part.expand_as(robs).reshape(-1, robs.shape[-1]) for part in (rate, robs, dfs))
        return cls.from_stacked(poisson_sums(rates, counts, valid, dim=0))

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
        return torch.from_numpy(bits_per_spike(self.stacked().cpu().numpy()))


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
