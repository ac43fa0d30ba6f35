"""How do predicted and observed rates look: on a few trials, and averaged over repeats?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vctrain.evaluation.report.material import Responses
from vctrain.evaluation.report.repeated import Psth
from vctrain.evaluation.report.stretches import Stretch
from vctrain.evaluation.style import INK, OBSERVED, PALETTE, legend_below, nothing, title

TRIAL_UNITS, PSTH_UNITS = 3, 6
TRIAL_SECONDS, PSTH_SECONDS = 0.025, 0.01
"""Standard deviation of the Gaussian that smooths counts for the eye."""
PSTH_SHOWN = 3.0
_WIDTH = 10.0
_TWIN, _TRUE = PALETTE[0], PALETTE[1]
Array = NDArray[np.float64]


def smoothed(values: Array, sigma: float) -> Array:
    """``(n,)`` under a Gaussian of ``sigma`` entries; NaN stays out of its neighbours, and where it is.

    >>> smoothed(np.array([1.0, np.nan, 1.0]), 2.0).tolist()
    [1.0, nan, 1.0]
    """
    there = np.isfinite(values)
    reach = min(max(round(3 * sigma), 1), (len(values) - 1) // 2)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    total = np.convolve(np.where(there, values, 0.0), taps, "same")
    weight = np.convolve(there.astype(np.float64), taps, "same")
    return np.where(there, total / np.where(weight > 0, weight, 1.0), np.nan)


def trials(found: Responses) -> Figure:
    """Rows: the best units; columns: a trial of each type of stimulus. ``found`` has a stretch and a unit."""
    rows = min(TRIAL_UNITS, len(found.cids))
    figure = Figure(figsize=(_WIDTH, 1.5 + 1.25 * rows), layout="constrained")
    grid = figure.subplots(rows, len(found.stretches), squeeze=False, sharex="col")
    for column, stretch in enumerate(found.stretches):
        for unit in range(rows):
            _trial(grid[unit, column], found, stretch, unit)
        first = grid[0, column].get_title(loc="left")
        grid[0, column].set_title(
            f"{stretch.place.kind}, trial {stretch.place.trial:g}\n{first}", fontsize=9, loc="left"
        )
        grid[-1, column].set_xlabel("s from the first scored frame", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("spikes / s", fontsize=8)
    legend_below(figure)
    return figure


def _trial(axes: Axes, found: Responses, stretch: Stretch, unit: int) -> None:
    title(axes, f"cid {found.cids[unit]}, {found.bps[unit]:z.2f} bits/spike")
    robs, rhat = stretch.robs[:, unit], stretch.rhat[:, unit]
    if not np.isfinite(robs).any():
        nothing(axes, "not scored here")
        return
    hz = found.rate_hz
    time = np.arange(len(robs)) / hz
    observed = smoothed(robs, TRIAL_SECONDS * hz) * hz
    axes.fill_between(time, observed, color=OBSERVED, alpha=0.45, lw=0, label="counts, smoothed")
    if stretch.rate_true is not None:
        axes.plot(time, stretch.rate_true[:, unit] * hz, color=_TRUE, lw=0.9, label="true rate")
    axes.plot(time, rhat * hz, color=_TWIN, lw=1.1, label="twin")
    rates = [observed, rhat * hz] + ([] if stretch.rate_true is None else [stretch.rate_true[:, unit] * hz])
    top = max(1.0, *(float(np.nanmax(rate)) for rate in rates)) * 1.05
    fired = time[np.nan_to_num(robs) > 0]
    axes.plot(fired, np.full(len(fired), -0.07 * top), "|", color=INK, ms=4, mew=0.6, label="frame with a spike")
    axes.set_ylim(-0.14 * top, top)
    axes.set_xlim(0, max(time[-1], 1 / hz))


def psths(found: Responses, psth: Psth) -> Figure:
    """The mean response of the best units over the repeats of a sequence, and its prediction."""
    count = min(PSTH_UNITS, len(found.cids))
    columns = 2 if count > 1 else 1
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH, 1.0 + 1.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for unit, axes in enumerate(grid.flat[:count]):
        _psth(axes, found, psth, unit)
    for column in range(columns):
        grid[(count - 1 - column) // columns, column].set_xlabel("s in the sequence", fontsize=8)
        grid[(count - 1 - column) // columns, column].tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("spikes / s", fontsize=8)
    legend_below(figure)
    return figure


def _psth(axes: Axes, found: Responses, psth: Psth, unit: int) -> None:
    hz = found.rate_hz
    said = f"cid {found.cids[unit]}"
    if np.isfinite(psth.figures["cc_norm"][unit]):
        said += f", CC_norm {psth.figures['cc_norm'][unit]:.2f}"
    title(axes, said)
    shown = psth.numbers < psth.numbers[0] + round(PSTH_SHOWN * hz)
    time = psth.numbers[shown] / hz
    mean, error, predicted = (part[shown, unit] * hz for part in (psth.observed, psth.error, psth.predicted))
    if not np.isfinite(mean).any():
        nothing(axes, "not scored here")
        return
    sigma = PSTH_SECONDS * hz
    mean, predicted = smoothed(mean, sigma), smoothed(predicted, sigma)
    band: Any = smoothed(error, sigma)
    axes.fill_between(time, mean - band, mean + band, color=OBSERVED, alpha=0.35, lw=0, label="± standard error")
    axes.plot(time, mean, color=INK, lw=0.9, label="mean of the repeats")
    axes.plot(time, predicted, color=_TWIN, lw=1.2, label="twin, mean of the same repeats")
    axes.set_xlim(time[0], time[-1] + 1 / hz)
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(mean))))
