"""How strong, and how sure, is a spike-triggered map: standard scores, peak lag, signal against noise, similarity?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def effective_number(total: Floats, squares: Floats, frames: Floats) -> Floats:
    """Independent samples that a weighted mean less the plain mean of the same frames is worth, (U,).

    Of weights w over n frames, ``1 / (sum w^2 / (sum w)^2 - 1 / n)``: Kish's (1965, Survey Sampling) effective sample
    size ``(sum w)^2 / sum w^2``, corrected for the plain mean that is subtracted. For spikes in few frames both are the
    same; for weights that hardly vary, such as predicted rates, the correction is what makes scores of noise have unit
    variance. 0 without weight.

    >>> effective_number(np.array([10.0]), np.array([10.0]), np.array([1e9])).round(3).tolist()
    [10.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares / total**2 - 1.0 / frames
        number: Floats = np.where((total > 0) & (spread > 1e-12), 1.0 / spread, 0.0)
    return number


def standard_scores(maps: Floats, deviation: Floats, number: Floats) -> Floats:
    """Maps ``(lags, U, P)`` in standard errors: ``map * sqrt(number) / deviation``, ``number`` being that of
    `effective_number` (Kish 1965).

    ``deviation`` ``(P,)`` is the standard deviation over frames of what was averaged; a pixel that never changes has 0.
    """
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    found: Floats = maps * np.sqrt(number)[None, :, None] * scale
    return found


@dataclass(frozen=True)
class Strength:
    """``peak_lag`` (U,), in frames before the response; ``snr`` (U,); ``spread`` (U,), the standard deviation over
    pixels of the map at the peak lag."""

    peak_lag: NDArray[np.int64]
    snr: Floats
    spread: Floats


def strength(maps: Floats, impossible: int) -> Strength:
    """Peak lag and signal against noise of maps ``(lags, U, P)`` whose first ``impossible`` lags come after the
    response.

    The peak lag has the largest standard deviation over pixels; the signal-to-noise ratio divides that by the root mean
    square of the standard deviations at the lags with no possible effect. NaN where these maps hold nothing.

    Source: docs/analyses.md, `sta_snr`.
    """
    spreads = maps.std(2)
    possible = spreads[impossible:]
    peak = possible.argmax(0)
    largest = possible.max(0)
    noise = np.sqrt((spreads[:impossible] ** 2).mean(0))
    snr = np.divide(largest, noise, out=np.full_like(largest, np.nan), where=noise > 0)
    return Strength(peak, snr, largest)


def similarity(first: Floats, second: Floats) -> Floats:
    """Pearson's (1895) correlation over lags and pixels of two maps of each unit, ``(lags, U, P)`` to (U,); NaN for a
    map without variance."""
    a, b = (np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1) for maps in (first, second))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    norm = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), norm, out=np.full_like(norm, np.nan), where=norm > 0)
