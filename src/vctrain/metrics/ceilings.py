"""How near does a prediction come to what the repeats of a unit allow? Correlations and explained variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vctrain.metrics.masked import ROUNDING, Floats, correlation, ratio, variance
from vctrain.metrics.reliability import SplitHalves, products_of_repeats, repeated_covariance, signal, split_halves
from vctrain.metrics.repeats import MINIMUM, Minimum, Repeats

EXPLAINABLE = 0.01
"""Least fraction of a unit's variance that must be explainable for it to have a FEVE.

Cadena et al. (2019) asked for 0.15 of counts over half a second; in bins of a frame, noise is most of the variance of
any unit, and the fraction is a few hundredths.
"""


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

    ``feve`` is 1 for the true rate (noise may take it beyond) and negative for a prediction worse than the mean; it is
    NaN without a clear signal (`Signal.clear`), and where ``explainable`` is NaN, not positive, or below the threshold.
    """

    feve: Floats
    explainable: Floats


def correlation_to_average(repeats: Repeats, prediction: ArrayLike, minimum: Minimum = MINIMUM) -> Floats:
    """CC_abs: Pearson's correlation over bins of the PSTH with the mean prediction of the same repeats, ``(U,)``
    (Schoppe et al. 2016).

    ``prediction`` ``(R, T, U)`` or ``(T, U)``, spikes per bin; errors as `Repeats.predicted`. NaN for a unit with too
    few bins, or whose PSTH or prediction is constant.
    """
    used = repeats.used(minimum)
    return correlation(repeats.psth(), repeats.mean(repeats.predicted(prediction)), used)


def single_trial_correlation(repeats: Repeats, prediction: ArrayLike, minimum: Minimum = MINIMUM) -> Floats:
    """Pearson's correlation of counts and prediction over all entries of the bins that count, ``(U,)`` (Pearson 1895).

    Input, errors and NaN as `correlation_to_average`.
    """
    entries = repeats.valid & repeats.used(minimum)
    return correlation(repeats.counts, repeats.predicted(prediction), entries, axis=(0, 1))


def cc_norm(repeats: Repeats, prediction: ArrayLike, minimum: Minimum = MINIMUM) -> NormalisedCorrelation:
    """CC_norm by signal power (Schoppe et al. 2016): ``cov(y, p) / sqrt(var(p) SP)``, y the PSTH, p the prediction.

    For a prediction that differs between repeats, covariance and variance are those of `repeated_covariance`: what it
    has in common with *other* repeats counts, so the true rate reaches 1 although it knows what differs. NaN where the
    prediction is constant, and without a clear signal (`Signal.clear`).

    The default of the two: beside that, it has no random splits, and for the true rate the errors of numerator and
    denominator cancel to first order.
    """
    rate = repeats.predicted(prediction)
    found = signal(repeats, minimum)
    own = repeated_covariance(repeats, rate, rate, minimum)
    own = np.where(own > ROUNDING**2 * np.abs(rate).max((0, 1), initial=0.0) ** 2, own, np.nan)
    shared = repeated_covariance(repeats, repeats.counts, rate, minimum)
    absolute = correlation_to_average(repeats, prediction, minimum)
    return NormalisedCorrelation(absolute, found.cc_max(), ratio(shared, np.sqrt(own) * np.sqrt(found.clear())))


def cc_norm_by_halves(
    repeats: Repeats, prediction: ArrayLike, minimum: Minimum = MINIMUM, *, halves: SplitHalves | None = None
) -> NormalisedCorrelation:
    """CC_norm by split halves (Hsu et al. 2004; Schoppe et al. 2016): ``CC_abs / CC_max`` with `SplitHalves.cc_max` (of
    `split_halves` where none is given).

    NaN where either is. For comparison with published figures, and for predictions that are the same in all repeats:
    one that follows what differs between them, such as gaze, goes beyond 1.
    """
    absolute = correlation_to_average(repeats, prediction, minimum)
    ceiling = (halves or split_halves(repeats, minimum)).cc_max()
    return NormalisedCorrelation(absolute, ceiling, ratio(absolute, ceiling))


def explained_variance(
    repeats: Repeats, prediction: ArrayLike, minimum: Minimum = MINIMUM, *, threshold: float = EXPLAINABLE
) -> ExplainedVariance:
    """FEVE (Cadena et al. 2019): ``1 - (mean((r - p)^2) - noise) / (total - noise)`` over all entries that count.

    ``total`` is the variance of all entries, ``noise`` that between repeats, each bin weighted by its repeats. The
    numerator is, for a prediction that is the same in all repeats, the mean of ``(r_n - p_n) (r_m - p_m)`` over pairs
    of different repeats of a bin; so it is computed, and what a prediction knows of single repeats neither helps nor
    harms. ``prediction`` and errors as `correlation_to_average`.
    """
    used = repeats.used(minimum)
    entries = repeats.valid & used
    missed = repeats.counts - repeats.predicted(prediction)
    n = np.where(used, repeats.repeats_per_bin(), 0)
    weight = ratio(n, n.sum(0))
    total = variance(repeats.counts, entries, axis=(0, 1))
    explainable = total - (weight * np.nan_to_num(repeats.variance())).sum(0)
    left = (weight * products_of_repeats(missed, missed, repeats.valid)).sum(0)
    fraction = ratio(explainable, total)
    enough = (fraction >= threshold) & ~np.isnan(signal(repeats, minimum).clear())
    return ExplainedVariance(np.where(enough, 1.0 - ratio(left, explainable), np.nan), fraction)
