"""Bits per spike, and how it answers to its sums, in numpy, for many sets of sums at once.

The one formula of bits per spike: whoever has sums, of one split or of a thousand resamplings, comes here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATE_FLOOR = 1e-8
"""Rates enter the logarithm as ``max(rate, 1e-8)``; one definition for every figure."""


def bits_per_spike(sums: Floats, null_rate: Floats | None = None) -> Floats:
    """BPS (..., U) of sums (..., 4, U) over frames: n, sum r, sum rhat, sum r ln rhat; NaN without a spike.

    ``[(sum r ln rhat - sum rhat) - (sum r ln m - n m)] / (sum r ln 2)``: the difference of Poisson log-likelihoods to a
    null model of rate m, in bits, per observed spike (Brenner et al. 2000; Pillow et al. 2008). May be negative. m is
    the mean rate on the same frames, or ``null_rate`` (U,) spikes a bin.
    """
    return with_gradient(sums, null_rate)[0]


def with_gradient(sums: Floats, null_rate: Floats | None = None) -> tuple[Floats, Floats]:
    """BPS (..., U) and its derivatives by the four sums, (..., 4, U); both NaN without a spike.

    Source: `bits_per_spike`, differentiated; held to finite differences by the tests.
    """
    frames, spikes, rate, log_likelihood = np.moveaxis(sums, -2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = spikes / frames if null_rate is None else np.broadcast_to(null_rate, spikes.shape)
        log_mean = np.log(np.maximum(mean, RATE_FLOOR))
        nats = spikes * math.log(2.0)
        expected = spikes if null_rate is None else mean * frames
        gain = (log_likelihood - rate - (spikes * log_mean - expected)) / nats
        # For the mean rate of the same frames the derivative of the null model by its rate is 0.
        by_spikes = -log_mean / nats - gain / spikes
        gradient = np.stack([mean / nats, by_spikes, -1.0 / nats, 1.0 / nats], axis=-2)
    silent = spikes <= 0
    return np.where(silent, np.nan, gain), np.where(silent[..., None, :], np.nan, gradient)


def difference(sums: Floats, null_rate: Floats | None = None) -> tuple[Floats, Floats]:
    """BPS of a second model minus that of a first on the same frames, and its derivatives, of sums (..., 8, U)."""
    first, by_first = with_gradient(sums[..., :4, :], null_rate)
    second, by_second = with_gradient(sums[..., 4:, :], null_rate)
    return second - first, np.concatenate([-by_first, by_second], axis=-2)


def mean_known(values: Floats, axis: int = -1) -> Floats:
    """Mean over the entries that are not NaN; NaN where there are none.

    >>> float(mean_known(np.array([1.0, np.nan, 2.0])))
    1.5
    """
    known = np.isfinite(values)
    n = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    mean: Floats = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return mean
