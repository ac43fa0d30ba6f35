"""How do spike-triggered averages of data and twin look, side by side?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vctrain.evaluation.report.material import Responses
from vctrain.evaluation.report.triggered import LEAST_SPIKES, Triggered
from vctrain.evaluation.style import INK, MUTED, PALETTE, SMALL, title

_COLUMNS = 3
_WIDTH = 10.0


def averages(found: Responses, maps: Triggered) -> Figure:
    """Each unit's average of the data at its strongest lag, that of the twin at the same, and both at the strongest
    pixel over lags."""
    count = len(found.cids)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH, 0.75 + 1.42 * rows))
    height = figure.get_size_inches()[1]
    grid = figure.add_gridspec(
        rows, columns, left=0.02, right=0.985, top=1 - 0.3 / height, bottom=0.5 / height, wspace=0.16, hspace=0.42
    )
    agreement = maps.agreement()
    for unit in range(count):
        cell = grid[unit // columns, unit % columns].subgridspec(1, 3, width_ratios=[1, 1, 1.15], wspace=0.12)
        last = unit + columns >= count
        _unit(figure, cell, found, maps, unit, float(agreement[unit]), last)
    return figure


def _unit(
    figure: Figure, cell: Any, found: Responses, maps: Triggered, unit: int, agreement: float, last: bool
) -> None:
    panels = [figure.add_subplot(cell[column]) for column in range(3)]
    data, twin = maps.data[:, unit], maps.twin[:, unit]
    enough = maps.spikes[unit] >= LEAST_SPIKES
    said = f"cid {found.cids[unit]}" + (f", r = {agreement:.2f}" if np.isfinite(agreement) else "")
    title(panels[0], said, size=8.5)
    if not enough:
        for axes in panels:
            axes.set_axis_off()
        panels[0].set_axis_on()
        panels[0].set_xticks([])
        panels[0].set_yticks([])
        panels[0].text(0, 0.5, f"{maps.spikes[unit]:.0f} spikes: too few", fontsize=SMALL, color=MUTED)
        return
    lag, pixel = divmod(int(np.abs(data).reshape(len(data), -1).argmax()), data[0].size)
    for axes, average, name in ((panels[0], data, "data"), (panels[1], twin, "twin")):
        limit = max(float(np.abs(average).max()), 1e-12)
        axes.imshow(average[lag], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{name}, ±{limit:.2g}", fontsize=SMALL, labelpad=2)
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_linewidth(0.5)
    course = panels[2]
    time = np.arange(len(data)) * 1000 / found.rate_hz
    for average, hue, name in ((data, INK, "data"), (twin, PALETTE[0], "twin")):
        values = average.reshape(len(average), -1)[:, pixel]
        course.plot(-time, values / max(np.abs(values).max(), 1e-12), color=hue, lw=1.1, label=name)
    course.axhline(0, color=MUTED, lw=0.5)
    course.axvline(-time[lag], color=MUTED, lw=0.5, ls=":")
    course.set_ylim(-1.1, 1.1)
    course.set_yticks([])
    title(course, "")
    course.spines["left"].set_visible(False)
    if unit == 0:
        course.legend(fontsize=6.5, frameon=False, loc="lower left", handlelength=1.2, borderaxespad=0)
    if last:
        course.set_xlabel("ms from the spike", fontsize=SMALL, labelpad=2)
    else:
        course.tick_params(labelbottom=False)
