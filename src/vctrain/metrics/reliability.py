"""How much of a unit's response is the same in every repeat? Signal power and split halves."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.errors import UsageError
from vctrain.metrics.masked import Bools, Floats, groups, ratio, variance
from vctrain.metrics.repeats import MINIMUM, Minimum, Repeats

CLEAR = 2.0
"""A signal must stand so many standard deviations of what no signal gives above 0, or what is divided by it is NaN."""

SMALL = 1e-12
"""A variance below this fraction of the mean square is rounding of a constant."""

BLOCK = 2_000_000
"""Numbers of one temporary of the split halves (16 MB)."""


@dataclass(frozen=True)
class Signal:
    """Power of what repeats, each ``(U,)`` in (spikes per bin)^2; NaN where the bins do not suffice.

    ``power`` is the unbiased estimate of the variance over bins of the expected count; it may be negative. ``psth`` is
    the variance of the PSTH over the same bins, ``noise`` the mean variance between repeats, ``null_sd`` the standard
    deviation of ``power`` for a unit without any signal.
    """

    power: Floats
    psth: Floats
    noise: Floats
    null_sd: Floats

    def clear(self) -> Floats:
        """``power``, NaN where it is below 2 ``null_sd``: the repeats do not show a signal.

        Source: docs/evaluation.md, Ceilings.
        """
        return np.where(self.power > CLEAR * self.null_sd, self.power, np.nan)

    def cc_max(self) -> Floats:
        """``sqrt(power / psth)``, at most 1: the correlation with the PSTH that the true rate is expected to reach
        (Schoppe et al. 2016); NaN without a clear signal.
        """
        return np.minimum(np.sqrt(ratio(self.clear(), self.psth)), 1.0)


def signal(repeats: Repeats, minimum: Minimum = MINIMUM) -> Signal:
    """Signal power (Sahani & Linden 2003) of each unit: `repeated_covariance` of the counts with themselves.

    With all entries valid it is their ``(var(sum_n r_n) - sum_n var(r_n)) / (R (R - 1))``.
    """
    used = repeats.used(minimum)
    bins = used.sum(0).astype(np.float64)
    noise = ratio(np.where(used, repeats.variance(), 0.0).sum(0), bins)
    n = repeats.repeats_per_bin()
    pairs = np.where(used, 2.0 / np.maximum(n * (n - 1), 1), 0.0).sum(0)
    power = repeated_covariance(repeats, repeats.counts, repeats.counts, minimum)
    return Signal(power, variance(repeats.psth(), used), noise, ratio(noise * np.sqrt(pairs), bins))


def repeated_covariance(repeats: Repeats, a: Floats, b: Floats, minimum: Minimum = MINIMUM) -> Floats:
    """Covariance over bins of what ``a`` and ``b`` ``(R, T, U)`` have in common in different repeats, ``(U,)``: the
    signal power of Sahani & Linden (2003), for two signals and with entries missing.

    ``mean_t m_tt - mean_{t != t'} m_tt'``, ``m_tt'`` being the mean of ``a_nt b_mt'`` over the pairs of different
    repeats n, m of which n holds t and m holds t'. What a repeat has to itself, noise and its correlation over time
    included, does not enter, and the estimate is unbiased whatever is missing. ``a`` and ``b`` enter less the mean over
    bins of their mean over repeats, which keeps the variance small where entries are missing and changes nothing
    elsewhere. NaN for units with too few bins.
    """
    used = repeats.used(minimum)
    counted = repeats.valid & used
    bins = used.sum(0).astype(np.float64)
    left, right = (np.where(counted, x - ratio(np.where(used, repeats.mean(x), 0.0).sum(0), bins), 0.0) for x in (a, b))
    found = np.full(used.shape[1], np.nan)
    for pattern, units in groups(counted.reshape(-1, used.shape[1])):
        held = pattern.reshape(counted.shape[:2])
        part = np.ix_(np.arange(len(held)), held.any(0), units)
        if pattern.any():
            found[units] = _over_pairs(left[part], right[part], held[:, held.any(0)])
    return found


def _over_pairs(a: Floats, b: Floats, held: Bools) -> Floats:
    """`repeated_covariance` ``(u,)`` of units with the same missing entries: ``a``, ``b`` ``(R, T, u)``, 0 where
    ``held`` ``(R, T)`` is False.
    """
    bins = held.shape[1]
    # Bins that the same repeats hold have the same number of pairs with every other bin: they are added up first.
    order = np.lexsort(held)
    kinds = held[:, order]
    starts = np.flatnonzero(np.concatenate([[True], (kinds[:, 1:] != kinds[:, :-1]).any(0)]))
    kinds = kinds[:, starts].astype(np.float64)
    sums_a, sums_b = (np.add.reduceat(x[:, order], starts, axis=1) for x in (a, b))
    n = kinds.sum(0)
    weight = 1.0 / (n[:, None] * n - kinds.T @ kinds)

    def total(x: Floats, y: Floats) -> Floats:
        return (x * np.einsum("gh,...hu->...gu", weight, y, optimize=True)).sum(-2)

    everywhere = total(sums_a.sum(0), sums_b.sum(0)) - total(sums_a, sums_b).sum(0)
    same = products_of_repeats(a, b, held[..., None]).sum(0)
    return (same - everywhere / bins) / (bins - 1)


def products_of_repeats(a: Floats, b: Floats, held: Bools) -> Floats:
    """Mean of ``a_n b_m`` over pairs of different repeats of each bin, ``(T, U)``, at least two of which hold it:
    ``a``, ``b`` ``(R, T, U)``, 0 where ``held`` is False.
    """
    n = held.sum(0)
    return (a.sum(0) * b.sum(0) - (a * b).sum(0)) / np.maximum(n * (n - 1), 1)


@dataclass(frozen=True)
class SplitHalves:
    """Correlation between the PSTHs of two halves of the repeats, each ``(U,)``.

    ``cc_half`` is the mean over splits, NaN where undefined; ``splits`` the number of splits counted, ``bins`` the
    number of bins.
    """

    cc_half: Floats
    splits: NDArray[np.int64]
    bins: NDArray[np.int64]

    def cc_max(self) -> Floats:
        """``sqrt(2 c / (1 + c))`` of ``c = cc_half`` (Hsu et al. 2004; Schoppe et al. 2016), in (0, 1]; NaN where c is
        below ``2 / sqrt(2 bins)``, twice its standard deviation for a unit without signal.
        """
        null_sd = np.sqrt(ratio(np.ones(len(self.bins)), self.bins.astype(np.float64)) / 2.0)
        c = np.where(self.cc_half > CLEAR * null_sd, self.cc_half, np.nan)
        return np.minimum(np.sqrt(2 * c / (1 + c)), 1.0)


def split_halves(repeats: Repeats, minimum: Minimum = MINIMUM, *, splits: int = 500, seed: int = 0) -> SplitHalves:
    """Correlate the PSTHs of random halves of the repeats (Hsu et al. 2004), ``splits`` times; all halves where there
    are no more.

    Halves of an odd number of repeats differ by one. Bins that one half does not hold are left out of a split, and a
    split with too few bins is not counted. A half whose PSTH is constant correlates 0 with the other: it shows nothing
    that repeats. NaN for a unit whose PSTH is constant, or with too few bins or repeats. Raises UsageError without a
    split.
    """
    if splits < 1:
        raise UsageError(f"{splits} split halves asked for", hint="ask for 1 or more; 500 is usual")
    used = repeats.used(minimum)
    n_units = used.shape[1]
    mean, counted = np.full(n_units, np.nan), np.zeros(n_units, np.int64)
    varies = variance(repeats.psth(), used) > 0
    present = (repeats.valid & used).any(1) & varies
    for rows, units in groups(present):
        if rows.any():
            bins = used[:, units].any(1)
            part = np.ix_(rows, bins, units)
            found = _correlations(
                repeats.counts[part],
                repeats.valid[part],
                used[np.ix_(bins, units)],
                _halves(int(rows.sum()), splits, seed),
                minimum.bins,
            )
            counted[units] = (~np.isnan(found)).sum(0)
            mean[units] = ratio(np.nansum(found, axis=0), counted[units].astype(np.float64))
    return SplitHalves(mean, counted, used.sum(0))


def _halves(repeats: int, splits: int, seed: int) -> Floats:
    """``(S, R)``: 1 for the repeats of the first half, R // 2 of them."""
    half = repeats // 2
    every = math.comb(repeats, half)
    if every <= splits:
        members = np.array(list(itertools.combinations(range(repeats), half)), dtype=np.intp)
    else:
        generator = np.random.default_rng(seed)
        members = generator.permuted(np.tile(np.arange(repeats), (splits, 1)), axis=1)[:, :half]
    first = np.zeros((len(members), repeats))
    np.put_along_axis(first, members, 1.0, axis=1)
    return first


def _correlations(counts: Floats, valid: Bools, used: Bools, halves: Floats, least: int) -> Floats:
    """``(S, U)`` correlations of the halves of ``counts`` ``(R, T, U)``; NaN for splits with too few bins."""
    shared = bool((valid == valid[:, :, :1]).all()) and bool((used == used[:, :1]).all())
    held = (valid[:, :, :1] if shared else valid).astype(np.float64)
    used = used[:, :1] if shared else used
    # Near 0, so that sums of squares lose nothing.
    counts = np.where(valid, counts - counts.sum((0, 1)) / valid.sum((0, 1)), 0.0)
    total, n = counts.sum(0), held.sum(0)
    found = np.empty((len(halves), counts.shape[2]))
    size = max(1, BLOCK // counts[0].size)
    for start in range(0, len(halves), size):
        first = halves[start : start + size]
        a, n_a = (np.tensordot(first, values, 1) for values in (counts, held))
        n_b = n - n_a
        both = used & (n_a > 0) & (n_b > 0)
        bins = both.sum(1)
        b = (total - a) * (both / np.maximum(n_b, 1))
        a *= both / np.maximum(n_a, 1)
        found[start : start + size] = np.where(bins >= least, _from_sums(a, b, np.maximum(bins, 1)), np.nan)
    return found


def _from_sums(a: Floats, b: Floats, bins: NDArray[np.int64]) -> Floats:
    """Correlation over the middle axis of ``a``, ``b`` ``(S, T, U)``, 0 where not counted; 0 where one is constant."""
    mean_a, mean_b = a.sum(1) / bins, b.sum(1) / bins
    square_a, square_b, product = (np.einsum("stu,stu->su", x, y) / bins for x, y in ((a, a), (b, b), (a, b)))
    spread_a, spread_b = square_a - mean_a**2, square_b - mean_b**2
    varies = (spread_a > SMALL * square_a) & (spread_b > SMALL * square_b)
    scale = np.sqrt(np.where(varies, spread_a * spread_b, 1.0))
    return np.where(varies, np.clip((product - mean_a * mean_b) / scale, -1.0, 1.0), 0.0)
