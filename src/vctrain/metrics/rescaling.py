"""Which gain and offset make the rates of a unit most likely? The Poisson fit of r ~ gain * p + offset."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.errors import NumericsError
from vctrain.metrics.poisson import RATE_FLOOR, Floats

Block = tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]
"""Rates, counts, and which entries count, each (n, U); spikes a bin."""
PASSES = 100
PRECISE = 1e-9
"""Steps that change no rate by more than this share of the mean rate end the fit: 1e-9 bits per spike and less."""


@dataclass(frozen=True)
class Affine:
    """``gain * rate + offset``, both (U,) and not negative; ``offset`` in spikes a bin."""

    gain: Floats
    offset: Floats


@dataclass(frozen=True)
class _Place:
    """The negative log-likelihood (U,) at a place (2, U), its gradient (2, U) and second derivatives (3, U)."""

    at: Floats
    value: Floats
    slope: Floats
    bend: Floats


def fit_affine(blocks: Callable[[], Iterable[Block]]) -> Affine:
    """The gain and offset of each unit that maximise the Poisson likelihood of its counts, both at least 0.

    The likelihood is concave in them (McCullagh & Nelder 1989, identity link), so its maximum is found by Newton's
    method with bounds; where a step does not improve, that of expectation and maximisation does, which never worsens
    it (a superposition of two Poisson processes; Dempster et al. 1977). ``blocks`` gives all entries anew each time it
    is called, about fifteen times. A unit without a spike keeps gain 1 and offset 0. Raises NumericsError if a fit does
    not end.
    """
    totals = _totals(blocks())
    frames, spikes, rate = totals
    fits = (spikes > 0) & (rate > 0)
    safe = np.where(fits, rate, 1.0)
    mean = np.where(fits, spikes / np.maximum(frames, 1), 1.0)
    place = _at(blocks(), np.stack([np.where(fits, 0.9 * spikes / safe, 1.0), np.where(fits, 0.1 * mean, 0.0)]))
    moving = fits.copy()
    for _ in range(PASSES):
        newton = _newton(place)
        tried = _at(blocks(), np.where(moving, newton, place.at))
        worse = moving & ~(tried.value <= place.value)
        if worse.any():
            tried = _at(blocks(), np.where(worse, _expected(place, totals), tried.at))
        step = np.abs(tried.at - place.at) * np.stack([rate / np.maximum(frames, 1), np.ones_like(mean)])
        moving &= (step > PRECISE * mean).any(0)
        place = tried
        if not moving.any():
            gain, offset = place.at
            return Affine(np.where(fits, gain, 1.0), np.where(fits, offset, 0.0))
    raise NumericsError(
        f"gain and offset of {int(moving.sum())} units are not found after {PASSES} passes",
        hint="evaluate without --rescale, and look at the rates with vctrain predict",
    )


def _totals(blocks: Iterable[Block]) -> Floats:
    """Entries, spikes, and sum of the rates, (3, U)."""
    parts = []
    for rates, counts, valid in blocks:
        kept, seen = np.where(valid, rates, 0.0), np.where(valid, counts, 0.0)
        parts.append(np.stack([valid.sum(0).astype(np.float64), seen.sum(0, dtype=float), kept.sum(0, dtype=float)]))
    found: Floats = np.sum(parts, axis=0)
    return found


def _at(blocks: Iterable[Block], at: Floats) -> _Place:
    units = at.shape[1]
    value, slope, bend = np.zeros(units), np.zeros((2, units)), np.zeros((3, units))
    for rates, counts, valid in blocks:
        p = np.where(valid, rates, 0.0).astype(np.float64)
        r = np.where(valid, counts, 0.0).astype(np.float64)
        mu = np.maximum(at[0] * p + at[1], RATE_FLOOR)
        share = r / mu
        value += (np.where(valid, mu, 0.0) - r * np.log(mu)).sum(0)
        slope += np.stack([(p - share * p).sum(0), (valid - share).sum(0)])
        curve = share / mu
        bend += np.stack([(curve * p * p).sum(0), (curve * p).sum(0), curve.sum(0)])
    return _Place(at, value, slope, bend)


def _newton(place: _Place) -> Floats:
    """A step of Newton's method within the bounds: who stands at one that the step would leave waits, and the other
    moves alone."""
    (gain, offset), (by_gain, by_offset), (a, b, c) = place.at, place.slope, place.bend
    with np.errstate(divide="ignore", invalid="ignore"):
        det = a * c - b * b
        both = np.stack([(c * by_gain - b * by_offset) / det, (a * by_offset - b * by_gain) / det])
        alone = np.stack([by_gain / a, by_offset / c])
    # Constant predictions cannot tell gain from offset, and a single spike leaves a valley: then whichever gains more
    # moves alone.
    flat = ~(det > 1e-10 * a * c)
    no_gain = (gain <= 0) & ((by_gain > 0) | (~flat & (both[0] > 0)))
    no_offset = (offset <= 0) & ((by_offset > 0) | (~flat & (both[1] > 0))) & ~no_gain
    by_gain_alone = np.where(no_gain, -1.0, np.nan_to_num(by_gain * alone[0])) > np.where(
        no_offset, -1.0, np.nan_to_num(by_offset * alone[1])
    )
    step = np.where(no_gain | no_offset | flat, alone, both)
    step[0] = np.where(no_gain | (flat & ~by_gain_alone), 0.0, step[0])
    step[1] = np.where(no_offset | (flat & by_gain_alone), 0.0, step[1])
    step = np.where(np.isfinite(step), step, 0.0)
    # the first bound that is met stops the whole step, so that it remains one downhill
    share = np.where(step > place.at, place.at / np.where(step > 0, step, 1.0), 1.0).min(0)
    moved = place.at - share * step
    # what rounding leaves of a place that goes to its bound would hold up every later step
    return np.where(moved <= 1e-12 * place.at, 0.0, moved)


def _expected(place: _Place, totals: Floats) -> Floats:
    """A step of expectation and maximisation: each spike is shared between the scaled rate and the offset."""
    frames, _, rate = totals
    change = place.slope / np.stack([np.where(rate > 0, rate, 1.0), np.maximum(frames, 1)])
    return place.at * np.maximum(1.0 - change, 0.0)
