"""How near does a prediction come to what the repeats of a unit allow? Correlations and explained variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vctrain.metrics.masked import Floats, correlation, covariance, ratio, variance
from vctrain.metrics.reliability import SplitHalves, signal, split_halves
from vctrain.metrics.repeats import Minimum, Repeats

EXPLAINABLE = 0.15
"""Least fraction of a unit's variance that must be explainable for it to have a FEVE (Cadena et al. 2019)."""


@dataclass(frozen=True)
class NormalisedCorrelation:
    """Correlation with the PSTH beside what the repeats allow, each ``(U,)``; NaN where undefined.

    ``cc_abs`` is Pearson's correlation with the PSTH, ``cc_max`` its ceiling, ``raw`` their ratio, which noise may take
    beyond 1.
    """

    cc_abs: Floats
    cc_max: Floats
    raw: Floats

    @property
    def cc_norm(self) -> Floats:
        """``raw``, bounded to [-1, 1]: what is reported."""
        return np.clip(self.raw, -1.0, 1.0)


@dataclass(frozen=True)
class ExplainedVariance:
    """Fraction of the explainable variance explained, and the explainable fraction of all variance, each ``(U,)``.

    ``feve`` is at most about 1 (noise may take it beyond) and negative for a prediction worse than the mean; it is NaN
    where ``explainable`` is NaN or below the threshold.
    """

    feve: Floats
    explainable: Floats


def correlation_to_average(repeats: Repeats, prediction: ArrayLike, minimum: Minimum | None = None) -> Floats:
    """CC_abs: Pearson's correlation over bins of the PSTH with the mean prediction of the same repeats, ``(U,)``.

    ``prediction`` ``(R, T, U)`` or ``(T, U)``, spikes per bin; errors as `Repeats.predicted`. NaN for a unit with too
    few bins, or whose PSTH or prediction is constant.
    """
    used = repeats.used(minimum or Minimum())
    return correlation(repeats.psth(), repeats.mean(repeats.predicted(prediction)), used)


def single_trial_correlation(repeats: Repeats, prediction: ArrayLike, minimum: Minimum | None = None) -> Floats:
    """Pearson's correlation of counts and prediction over all entries of the bins that count, ``(U,)``.

    Input, errors and NaN as `correlation_to_average`.
    """
    entries = repeats.valid & repeats.used(minimum or Minimum())
    return correlation(repeats.counts, repeats.predicted(prediction), entries, axis=(0, 1))


def cc_norm(repeats: Repeats, prediction: ArrayLike, minimum: Minimum | None = None) -> NormalisedCorrelation:
    """CC_norm by signal power (Schoppe et al. 2016): ``cov(y, p) / sqrt(var(p) SP)``, y the PSTH, p the mean of the
    prediction over the same repeats.

    The default of the two: it needs no random splits, uses every pair of repeats, and for the true rate the errors of
    numerator and denominator cancel to first order. NaN where CC_abs is, and without a clear signal (`Signal.clear`).
    """
    used = repeats.used(minimum or Minimum())
    psth, mean = repeats.psth(), repeats.mean(repeats.predicted(prediction))
    found = signal(repeats, minimum)
    scale = np.sqrt(variance(mean, used)) * np.sqrt(found.clear())
    return NormalisedCorrelation(
        correlation(psth, mean, used), found.cc_max(), ratio(covariance(psth, mean, used), scale)
    )


def cc_norm_by_halves(
    repeats: Repeats, prediction: ArrayLike, minimum: Minimum | None = None, *, halves: SplitHalves | None = None
) -> NormalisedCorrelation:
    """CC_norm by split halves: ``CC_abs / CC_max`` with `SplitHalves.cc_max` (of `split_halves` where none is given).

    NaN where either is. Averaging over few splits and the steepness of CC_max at weak signals make it noisier than
    `cc_norm`; for comparison with published figures.
    """
    absolute = correlation_to_average(repeats, prediction, minimum)
    ceiling = (halves or split_halves(repeats, minimum)).cc_max()
    return NormalisedCorrelation(absolute, ceiling, ratio(absolute, ceiling))


def explained_variance(
    repeats: Repeats, prediction: ArrayLike, minimum: Minimum | None = None, *, threshold: float = EXPLAINABLE
) -> ExplainedVariance:
    """FEVE (Cadena et al. 2019): ``1 - (mean((r - p)^2) - noise) / (total - noise)`` over all entries that count.

    ``total`` is the variance of all entries, ``noise`` that of the entries about their bin's mean, each bin weighted by
    its repeats. ``prediction`` and errors as `correlation_to_average`.
    """
    entries = repeats.valid & repeats.used(minimum or Minimum())
    rate = repeats.predicted(prediction)
    n = repeats.repeats_per_bin()
    about_bin = np.where(entries, repeats.counts - np.nan_to_num(repeats.psth()), 0.0) ** 2
    missed = np.where(entries, repeats.counts - rate, 0.0) ** 2
    of = entries.sum((0, 1)).astype(np.float64)
    noise = ratio((about_bin * (n / np.maximum(n - 1, 1))).sum((0, 1)), of)
    total = variance(repeats.counts, entries, axis=(0, 1))
    explainable = ratio(total - noise, total)
    enough = np.where(explainable >= threshold, total - noise, np.nan)
    return ExplainedVariance(1.0 - ratio(ratio(missed.sum((0, 1)), of) - noise, enough), explainable)
