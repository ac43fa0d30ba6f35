"""How did a run go, on one page: loss, bits per spike, learning rate, sessions?

Imported only where a sheet is asked for: matplotlib takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vctrain.errors import ContractError
from vctrain.evaluation.inspection import number_in, rows_of
from vctrain.evaluation.style import title

_SESSION = "val_bps/"
_BLUE, _ORANGE, _GREY = "#3b6fb6", "#e08a1e", "#9aa5b1"
_MANY = 40


def write_run_sheet(path: Path, facts: Mapping[str, Any]) -> None:
    """The sheet of the run that `facts` (of ``inspect_run``) describe.

    Raises ContractError if the run has no validation yet.
    """
    rows = rows_of(Path(facts["run"]))
    if not rows:
        raise ContractError(
            f"{facts['run']} has no validation yet, so there is nothing to plot", hint="wait for the first epoch"
        )
    draw(facts, rows).savefig(path, dpi=150)


def draw(facts: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Figure:
    """The sheet; `rows` are those of metrics.csv."""
    figure = Figure(figsize=(11.7, 8.3))
    name = Path(facts["run"]).absolute().name
    figure.suptitle(name, x=0.075, y=0.975, ha="left", fontsize=14, weight="bold")
    figure.text(0.075, 0.932, _summary(facts), fontsize=9, color="#444444")
    grid = figure.add_gridspec(
        2, 2, left=0.075, right=0.975, top=0.89, bottom=0.08, hspace=0.32, wspace=0.18, height_ratios=[1, 1]
    )
    steps = _column(rows, "step")
    score = figure.add_subplot(grid[0, 0])
    _score(score, steps, rows)
    loss = figure.add_subplot(grid[0, 1], sharex=score)
    title(loss, "train_loss", size=10, grid=True)
    _curve(loss, steps, _column(rows, "train_loss"), _BLUE)
    rate = figure.add_subplot(grid[1, 1], sharex=score)
    title(rate, "Learning rate of what sessions own", size=10, grid=True)
    _curve(rate, steps, _column(rows, "lr"), _GREY)
    rate.yaxis.set_major_formatter("{x:.2g}")
    for axes in (score, loss, rate):
        axes.set_xlabel("step", fontsize=8, labelpad=2)
        axes.margins(x=0.02)
    # room for the names on the left
    _sessions(figure.add_subplot(grid[1, 0].subgridspec(1, 2, width_ratios=[0.24, 0.76], wspace=0)[1]), rows)
    return figure


def _summary(facts: Mapping[str, Any]) -> str:
    planned = f" of {facts['steps_planned']:,}" if facts["steps_planned"] else ""
    parts = [str(facts["state"]), f"{facts['step'] or 0:,}{planned} steps"]
    if facts["best_score"] is not None:
        parts.append(f"best val_bps_overall {facts['best_score']:.4f}")
    parts += [f"preset {facts['preset']}" if facts["preset"] else "", f"started {str(facts['created'])[:16]}"]
    return ",  ".join(filter(None, parts))


def _column(rows: Sequence[Mapping[str, str]], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A column of metrics.csv, (n,); NaN where a cell is empty or not finite."""
    return np.array([np.nan if (x := number_in(row.get(name))) is None else x for row in rows])


def _curve(axes: Axes, steps: Any, values: Any, colour: str, **how: Any) -> None:
    # a single validation is a point, which a line would not show
    axes.plot(steps, values, color=colour, marker="o" if len(steps) <= _MANY else None, ms=3, **how)


def _score(axes: Axes, steps: Any, rows: Sequence[Mapping[str, str]]) -> None:
    title(axes, "val_bps_overall, bits per spike", size=10, grid=True)
    for name in (name for name in rows[-1] if name.startswith(_SESSION)):
        axes.plot(steps, _column(rows, name), color=_GREY, lw=0.6, alpha=0.7)
    overall = _column(rows, "val_bps_overall")
    _curve(axes, steps, overall, _BLUE, lw=1.6, label="overall (grey: sessions)")
    if np.isfinite(overall).any():
        best = int(np.nanargmax(overall))
        axes.plot(steps[best], overall[best], "*", color=_ORANGE, ms=11, label=f"best, step {steps[best]:.0f}")
    axes.legend(fontsize=8, frameon=False, loc="best")


def _sessions(axes: Axes, rows: Sequence[Mapping[str, str]]) -> None:
    """Each session's bits per spike at the best validation."""
    overall = _column(rows, "val_bps_overall")
    best = rows[int(np.nanargmax(overall)) if np.isfinite(overall).any() else -1]
    scores = {name.removeprefix(_SESSION): number_in(best[name]) for name in best if name.startswith(_SESSION)}
    known = sorted(((value, name) for name, value in scores.items() if value is not None), key=lambda pair: pair[0])
    title(axes, f"val_bps of the sessions at step {best.get('step')}", size=10, grid=True)
    if not known:
        axes.text(0.5, 0.5, "no session has a figure", ha="center", va="center", transform=axes.transAxes)
        return
    places = np.arange(len(known))
    axes.barh(places, [value for value, _ in known], color=_BLUE, height=0.7)
    labelled = len(known) <= _MANY
    axes.set_yticks(places if labelled else [], [name for _, name in known] if labelled else [], fontsize=7)
    axes.set_ylim(len(known) - max(len(known), 4) - 0.7, len(known) - 0.3)
    axes.axvline(0, color="#444444", lw=0.6)
    axes.set_xlabel("bits per spike", fontsize=8, labelpad=2)
