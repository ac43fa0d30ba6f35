"""What do responses to gratings say: preferred orientation and frequency, selectivity, modulation by phase?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def peak_between(places: Floats, values: Floats) -> tuple[float, float]:
    """Place and height of the maximum of ``values`` (N,) at evenly spaced ``places`` (N,), between samples.

    The vertex of the parabola through the largest sample and its neighbours; the sample itself at either end. NaN for
    values that are not all finite. Source: the polynomial of degree two through three evenly spaced points.

    >>> peak_between(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]))[0]
    1.5
    """
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    at = int(np.argmax(values))
    if at in (0, len(values) - 1):
        return float(places[at]), float(values[at])
    left, middle, right = (float(value) for value in values[at - 1 : at + 2])
    bend = left - 2.0 * middle + right
    if bend >= 0.0:
        return float(places[at]), middle
    offset = 0.5 * (left - right) / bend
    return float(places[at] + offset * (places[at + 1] - places[at])), middle - 0.25 * (left - right) * offset


def circular_tuning(angles: Floats, responses: Floats, *, fold: int = 2) -> tuple[Floats, Floats]:
    """Preferred angle and selectivity of responses (..., N), not negative, to ``angles`` (N,) radians.

    With ``V = sum R exp(i fold angle) / sum R``: selectivity ``|V|``, one minus the circular variance, and the angle
    ``arg(V) / fold`` in [0, 2 pi / fold) (Ringach, Shapley and Hawken 2002, J. Neurosci. 22, 5639). ``fold`` 2 is for
    orientation, 1 for direction. Both NaN without any response.
    """
    total = responses.sum(-1)
    vector = (responses * np.exp(1j * fold * angles)).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        vector = np.where(total > 0, vector / total, np.nan)
    preferred = np.mod(np.angle(vector) / fold, 2.0 * np.pi / fold)
    return np.where(np.isnan(vector), np.nan, preferred), np.abs(vector)


def first_harmonic(responses: Floats) -> tuple[Floats, Floats]:
    """F0 and F1 of responses (..., N) at N evenly spaced moments, or phases, of one cycle.

    F0 is the mean, F1 the amplitude of the fundamental: ``2 / N |sum r exp(-2 pi i k / N)|`` (Skottun et al. 1991,
    Vision Res. 31, 1079).
    """
    turn = np.exp(-2j * np.pi * np.arange(responses.shape[-1]) / responses.shape[-1])
    return responses.mean(-1), 2.0 * np.abs((responses * turn).mean(-1))


@dataclass(frozen=True)
class SineFit:
    """``amplitude * sin(phase + shift) + offset``, and standard errors; ``modulation`` is 2 amplitude / (amplitude +
    offset). All NaN where there was no fit."""

    amplitude: float
    shift: float
    offset: float
    amplitude_se: float
    shift_se: float
    offset_se: float
    modulation: float


_NAN = float("nan")
NO_FIT = SineFit(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, _NAN)


def fit_sine(sine: Floats, cosine: Floats, mean: Floats, variance: Floats) -> SineFit:
    """The sine through mean responses ``mean`` (B,) in bins of phase, by ordinary least squares.

    ``sine`` and ``cosine`` (B,) are the means of the phases' sine and cosine in each bin, so that wide bins do not
    flatten the fit. With ``mean = K sine + L cosine + C``: amplitude ``sqrt(K^2 + L^2)``, shift ``atan2(L, K)``.
    ``variance`` (B,) is that of each mean (of Poisson counts, mean over frames); the covariance of (K, L, C) is the
    sandwich (White 1980) ``(X'X)^-1 X' diag(variance) X (X'X)^-1``, and errors of amplitude and shift follow to first
    order. `NO_FIT` with fewer than three bins.
    """
    design = np.stack([sine, cosine, np.ones_like(sine)], axis=1)
    if len(design) < 3 or np.linalg.matrix_rank(design) < 3:
        return NO_FIT
    solve = np.linalg.pinv(design)
    k, level, offset = (float(value) for value in solve @ mean)
    covariance = (solve * variance) @ solve.T
    amplitude = float(np.hypot(k, level))
    if amplitude == 0.0:
        return SineFit(0.0, _NAN, offset, _NAN, _NAN, math.sqrt(max(float(covariance[2, 2]), 0.0)), 0.0)
    along = np.array([k, level, 0.0]) / amplitude
    across = np.array([-level, k, 0.0]) / amplitude**2
    along_se, across_se = (math.sqrt(max(float(row @ covariance @ row), 0.0)) for row in (along, across))
    modulation = 2.0 * amplitude / (amplitude + offset) if amplitude + offset > 0 else float("nan")
    shift, offset_se = math.atan2(level, k), math.sqrt(max(float(covariance[2, 2]), 0.0))
    return SineFit(amplitude, shift, offset, along_se, across_se, offset_se, modulation)
