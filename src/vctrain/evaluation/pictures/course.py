"""How do the bits per spike of each session go over the epochs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vctrain.evaluation.inspection import number_in
from vctrain.evaluation.style import INK, MUTED, PALETTE, SMALL, colours, title

_SESSION = "val_bps/"
_MANY = 40


def course(rows: Sequence[Mapping[str, str]], subjects: Mapping[str, str]) -> Figure:
    """A line for each session, in the colour of the session or, where there are many, of its subject, and the overall
    value; and each session's last value.

    ``rows`` are those of metrics.csv, ``subjects`` the subject of each session.
    """
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    over, last = figure.subplots(1, 2, width_ratios=[2.3, 1])
    title(over, "Bits per spike on validation trials", size=10, grid=True)
    over.set_xlabel("epoch", fontsize=8)
    names = [name.removeprefix(_SESSION) for name in rows[-1] if name.startswith(_SESSION)] if rows else []
    by_subject = len(names) > len(PALETTE)
    keys = {name: subjects.get(name, "") if by_subject else name for name in names}
    hues = colours(list(dict.fromkeys(keys.values())))
    epochs = _column(rows, "epoch") + 1
    marker = "." if len(rows) <= _MANY else None
    labelled = set[str]()
    for name in names:
        label = None if keys[name] in labelled else keys[name]
        labelled.add(keys[name])
        values = _column(rows, _SESSION + name)
        over.plot(epochs, values, color=hues[keys[name]], lw=0.9, alpha=0.8, marker=marker, ms=4, label=label)
    over.plot(epochs, _column(rows, "val_bps_overall"), color=INK, lw=2, marker=marker, ms=5, label="overall")
    over.margins(x=0.02)
    over.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(labelled) <= len(PALETTE):
        over.legend(fontsize=SMALL, frameon=False, loc="best")
    _last(last, rows, names, {name: hues[keys[name]] for name in names})
    return figure


def _last(axes: Axes, rows: Sequence[Mapping[str, str]], names: Sequence[str], hues: Mapping[str, str]) -> None:
    """Each session's value at the last of ``rows``, best first."""
    values = {name: number_in(rows[-1].get(_SESSION + name)) for name in names}
    known = sorted(((value, name) for name, value in values.items() if value is not None), reverse=True)
    epoch = f" after epoch {int(rows[-1]['epoch']) + 1}" if rows else ""
    title(axes, f"Sessions{epoch}", size=10, grid=True)
    places = range(len(known))
    axes.barh(places, [value for value, _ in known], color=[hues[name] for _, name in known], height=0.7)
    shown = len(known) <= _MANY
    axes.set_yticks(places if shown else [], [name for _, name in known] if shown else [], fontsize=6.5)
    axes.set_ylim(max(len(known), 4) - 0.3, -0.7)
    axes.axvline(0, color=MUTED, lw=0.6)
    axes.set_xlabel("bits per spike", fontsize=8)


def _column(rows: Sequence[Mapping[str, str]], name: str) -> NDArray[np.float64]:
    """A column, (n,); NaN where a cell is empty or not finite."""
    return np.array([np.nan if (x := number_in(row.get(name))) is None else x for row in rows], np.float64)
