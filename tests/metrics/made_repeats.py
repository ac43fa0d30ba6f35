"""Repeats with known rates, and the published formulas once more, for one unit, in plain loops."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rates(seed: int, bins: int, units: int, level: float = 0.5, depth: float = 0.6) -> Floats:
    """Log-normal rates ``(T, U)``, spikes per bin."""
    return level * np.exp(depth * np.random.default_rng(seed).normal(size=(bins, units)) - depth**2 / 2)


def poisson(seed: int, rate: Floats, repeats: int) -> Floats:
    """Poisson counts ``(R, T, U)``."""
    return np.random.default_rng(seed).poisson(rate, (repeats, *rate.shape)).astype(np.float64)


def ended_early(seed: int, repeats: int, bins: int, least: int) -> NDArray[np.bool_]:
    """Trials of unequal length ``(R, T)``, of ``least`` bins or more."""
    length = np.random.default_rng(seed).integers(least, bins + 1, repeats)
    return np.arange(bins) < length[:, None]


def sahani_linden(counts: Floats) -> float:
    """Signal power of one unit's complete counts ``(R, T)`` as published: total power less noise power."""
    r = len(counts)
    total = np.mean([np.var(trial, ddof=1) for trial in counts])
    return float((r * np.var(counts.mean(0), ddof=1) - total) / (r - 1))


def schoppe(counts: Floats, prediction: Floats) -> tuple[float, float, float]:
    """CC_abs, CC_max and CC_norm of one unit's complete counts ``(R, T)``, as published."""
    r = len(counts)
    y = counts.mean(0)
    power = (np.var(counts.sum(0), ddof=1) - sum(np.var(trial, ddof=1) for trial in counts)) / (r * (r - 1))
    cov = np.cov(y, prediction)
    absolute = cov[0, 1] / math.sqrt(cov[0, 0] * cov[1, 1])
    return absolute, math.sqrt(power / cov[0, 0]), cov[0, 1] / math.sqrt(power * cov[1, 1])


def power_by_pairs(counts: Floats, valid: NDArray[np.bool_], least: int) -> float:
    """Signal power of one unit ``(R, T)`` from every pair of different repeats and every pair of bins."""
    bins = [t for t in range(counts.shape[1]) if valid[:, t].sum() >= least]
    level = np.mean([counts[valid[:, t], t].mean() for t in bins])
    same, other = [], []
    for t in bins:
        for s in bins:
            products = [
                (counts[n, t] - level) * (counts[m, s] - level)
                for n in range(len(counts))
                for m in range(len(counts))
                if n != m and valid[n, t] and valid[m, s]
            ]
            (same if t == s else other).append(np.mean(products))
    return float(np.mean(same) - np.mean(other))


def published_feve(targets: list[Floats], outputs: list[Floats]) -> tuple[float, float]:
    """Explainable fraction and FEVE of one unit: a list over images of one response per repeat."""
    total = np.var(np.concatenate(targets), ddof=1)
    noise = np.mean([np.var(target, ddof=1) for target in targets])
    missed = np.mean(np.concatenate([(a - b) ** 2 for a, b in zip(targets, outputs, strict=True)]))
    return float((total - noise) / total), float(1 - (missed - noise) / (total - noise))
