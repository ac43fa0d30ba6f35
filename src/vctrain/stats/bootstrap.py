"""How sure is a figure that is a function of sums over trials? A studentized block bootstrap, from the sums alone.

Trials are drawn with replacement; a unit's figure, and its standard error from the derivatives of the figure by its
sums, are computed anew for every draw, and their ratio tells how far off the figure may be (Efron and Tibshirani 1993,
An Introduction to the Bootstrap, 12.5). Unlike percentiles of the figure itself this covers as it says for skewed
figures of few trials. Everything is a matrix product of how often each trial was drawn with sums of trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Figure = Callable[[Floats], tuple[Floats, Floats]]
"""Sums (..., K, U) to figures (..., U), which do not change when all sums are multiplied, and their derivatives."""
FEWEST_TRIALS = 5
"""With fewer there is no interval."""
REPLICATES = 2000


@dataclass(frozen=True)
class Estimates:
    """A figure, its standard error, and both in every replicate: shapes (...) and (B, ...)."""

    value: Floats
    error: Floats
    values: Floats
    errors: Floats
    trials: int
    """The smallest number of trials that any of it comes from."""

    def interval(self, level: float = 0.95) -> Floats:
        """The lower and upper end, (2, ...); NaN with fewer than `FEWEST_TRIALS` trials.

        The studentized bootstrap of Efron and Tibshirani (1993, 12.5).
        """
        if self.trials < FEWEST_TRIALS:
            return np.full((2, *np.shape(self.value)), np.nan)
        tail = 0.5 - level / 2.0
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.where(self.errors > 0, (self.values - self.value) / self.errors, np.nan)
        flat = ratios.reshape(len(ratios), -1)
        ends = np.array([_quantiles(column, (1.0 - tail, tail)) for column in flat.T]).T
        found: Floats = self.value - ends.reshape(2, *np.shape(self.value)) * self.error
        return found

    def p_value(self) -> Floats:
        """Two-sided p of a figure of zero: the share of replicates whose ratio lies further out than the figure's own,
        counting one replicate more, so that it is never 0 (Davison and Hinkley 1997, Bootstrap Methods and their
        Application, chapter 4)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = np.abs((self.values - self.value) / self.errors)
            own = np.abs(self.value / self.error)
        known = np.isfinite(ratios)
        beyond = (known & (ratios >= own)).sum(0)
        share: Floats = np.where(np.isfinite(own), (beyond + 1.0) / (known.sum(0) + 1.0), np.nan)
        return share


def _quantiles(values: Floats, shares: Sequence[float]) -> Floats:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(shares), np.nan)
    found: Floats = np.quantile(known, shares)
    return found


def bootstrap(
    sums: Floats, figure: Figure, *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[Estimates, Estimates]:
    """The figure of each unit, (U,), and its mean over the units that have one, (), from ``sums`` of each trial (n, K,
    U); trials are drawn with replacement (Efron and Tibshirani 1993)."""
    n = len(sums)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=replicates).astype(np.float64)
    once = np.ones((1, n))
    value, error, mean, mean_error = _estimates(once, sums, figure)
    values, errors, means, mean_errors = _estimates(drawn, sums, figure)
    each = Estimates(value[0], error[0], values, errors, n)
    return each, Estimates(mean[0], mean_error[0], means, mean_errors, n)


def _estimates(drawn: Floats, sums: Floats, figure: Figure) -> tuple[Floats, Floats, Floats, Floats]:
    """Figures and standard errors (B, U) of each unit, and (B,) of their mean, of trials ``drawn`` (B, n) times."""
    n, kinds, units = sums.shape
    value, gradient = figure((drawn @ sums.reshape(n, -1)).reshape(-1, kinds, units))
    known = np.isfinite(value)
    gradient = np.where(known[:, None, :], gradient, 0.0)
    # The influence of a trial is gradient times sums; that of all trials together is 0, as the figure is a ratio.
    rows, columns = np.triu_indices(kinds)
    products = (sums[:, rows] * sums[:, columns]).reshape(n, -1)
    moments = (drawn @ products).reshape(-1, len(rows), units)
    twice = np.where(rows == columns, 1.0, 2.0)[:, None]
    widening = n / (n - 1.0) if n > 1 else math.nan
    squares = (gradient[:, rows] * gradient[:, columns] * moments * twice).sum(1)
    error = np.sqrt(np.maximum(squares, 0.0) * widening)
    counted = known.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, value, 0.0).sum(1) / counted
        influence = (gradient.reshape(-1, kinds * units) @ sums.reshape(n, -1).T) / counted[:, None]
    mean_error = np.sqrt((drawn * influence**2).sum(1) * widening)
    return value, np.where(known, error, np.nan), mean, mean_error


def mean_of(parts: Sequence[Estimates]) -> Estimates:
    """The unweighted mean of figures of independent sessions, (), those that have none left out."""
    known = [part for part in parts if np.isfinite(part.value)]
    n = len(known)
    if not n:
        nothing = np.full((1,), np.nan)
        return Estimates(nothing[0], nothing[0], nothing, nothing, 0)
    return Estimates(
        np.mean([part.value for part in known], axis=0),
        np.sqrt(np.sum([part.error**2 for part in known], axis=0)) / n,
        np.mean([part.values for part in known], axis=0),
        np.sqrt(np.sum([part.errors**2 for part in known], axis=0)) / n,
        min(part.trials for part in known),
    )


def signed_rank(differences: Sequence[float] | Floats) -> float:
    """Two-sided p value over units of the signed ranks of Wilcoxon (1945); NaN for none, 1 if all differences are 0."""
    known = np.array([value for value in differences if np.isfinite(value)])
    if not len(known):
        return float("nan")
    if not known.any():
        return 1.0
    return float(stats.wilcoxon(known).pvalue)
