"""How do bits per spike of units, sessions and checkpoints look?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vctrain.evaluation.style import INK, PALETTE, SMALL, colours, legend_below, nothing, title

Result = Mapping[str, Any]
Pair = tuple[str, int, float, float]
"""Session, cid, and bits per spike in the first and the second checkpoint."""
MANY = 150
_WIDTH = 10.0


def known_units(result: Result) -> list[tuple[str, int, float, list[float] | None]]:
    """Session, cid, bits per spike and interval of every unit that has a value."""
    return [
        (name, int(cid), bps, (session.get("unit_intervals") or {}).get(cid))
        for name, session in result["sessions"].items()
        for cid, bps in session["units"].items()
        if bps is not None
    ]


def units(result: Result) -> Figure:
    """Bits per spike of every unit, best first, with 95 % intervals."""
    figure = Figure(figsize=(_WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot()
    title(axes, "Units, best first", grid=True)
    found = sorted(known_units(result), key=lambda unit: -unit[2])
    if not found:
        nothing(axes, "no unit has a spike on this split")
        return figure
    shown = colours(list(result["sessions"]))
    place = np.arange(1, len(found) + 1)
    values = np.array([bps for *_, bps, _ in found])
    ends = np.array([interval or [math.nan, math.nan] for *_, interval in found])
    hues = [shown[session] for session, *_ in found]
    few = len(found) < MANY
    axes.vlines(place, ends[:, 0], ends[:, 1], colors=hues, lw=1.4 if few else 0.5, alpha=0.55 if few else 0.2)
    axes.scatter(place, values, c=hues, s=14 if few else 4, zorder=3)
    axes.axhline(0, color=INK, lw=0.7)
    axes.set_xlim(0, len(found) + 1)
    # an interval that dwarfs all values would hide them
    reach = np.nanquantile(np.concatenate([values, ends.ravel()]), [0.01, 0.99])
    low, high = min(reach[0], values.min(), 0.0), max(reach[1], values.max())
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_xlabel("rank of the unit", fontsize=8)
    axes.set_ylabel("bits per spike", fontsize=8)
    if len(set(shown.values())) > 1:
        handles = [Line2D([], [], marker="o", ls="", color=hue, ms=4, label=name) for name, hue in shown.items()]
        axes.legend(handles=handles, fontsize=SMALL, frameon=False, loc="best")
    return figure


def sessions(results: Sequence[Result], labels: Sequence[str]) -> Figure:
    """The mean of each session with its interval, and its units behind it, for each checkpoint."""
    names = list(dict.fromkeys(name for result in results for name in result["sessions"]))
    each = 0.17 * len(results) + 0.16
    figure = Figure(figsize=(_WIDTH, min(1.3 + each * len(names), 13.0)), layout="constrained")
    axes = figure.add_subplot()
    title(axes, "Sessions", grid=True)
    for number, (result, label) in enumerate(zip(results, labels, strict=True)):
        hue = PALETTE[number % len(PALETTE)]
        offset = 0.0 if len(results) == 1 else 0.56 * (number / (len(results) - 1) - 0.5)
        rows = [(place + offset, result["sessions"].get(name)) for place, name in enumerate(names)]
        for place, session in rows:
            if session is None:
                continue
            of_units = [bps for bps in session["units"].values() if bps is not None]
            axes.scatter(of_units, np.full(len(of_units), place), color=hue, alpha=0.3, s=10, lw=0)
            if session["bps"] is None:
                continue
            if session.get("interval") is not None:
                axes.hlines(place, *session["interval"], color=hue, lw=2.2)
            axes.plot(session["bps"], place, "D", color=hue, ms=5, mec="white", mew=0.6, zorder=4)
        overall = result["bps_overall"]
        if overall is not None:
            axes.axvline(overall, color=hue, lw=0.9, ls="--", label=f"{label} overall {overall:.4f}")
    axes.axvline(0, color=INK, lw=0.7)
    axes.set_yticks(range(len(names)), names, fontsize=SMALL if len(names) <= 40 else 5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("bits per spike", fontsize=8)
    legend_below(figure)
    return figure


def joined(first: Result, second: Result) -> list[Pair]:
    """The units that have a value in both, by session and cid, never by position."""
    theirs = {(session, cid): bps for session, cid, bps, _ in known_units(second)}
    return [
        (session, cid, bps, theirs[session, cid])
        for session, cid, bps, _ in known_units(first)
        if (session, cid) in theirs
    ]


def scatter(pairs: Sequence[Pair], first: str, second: str) -> Figure:
    """Bits per spike of the units in two checkpoints, ``pairs`` of `joined`."""
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    a, b = np.array([pair[2] for pair in pairs]), np.array([pair[3] for pair in pairs])
    shown = colours(list(dict.fromkeys(pair[0] for pair in pairs)))
    title(axes, f"{len(pairs)} units, {int((b > a).sum())} better in {second}", grid=True)
    for name, hue in shown.items():
        mine = np.array([pair[0] == name for pair in pairs])
        axes.scatter(a[mine], b[mine], s=16, color=hue, alpha=0.75 if len(pairs) < MANY else 0.35, lw=0, label=name)
    low, high = min(a.min(), b.min(), 0.0), max(a.max(), b.max())
    margin = 0.05 * max(high - low, 1e-3)
    reach = [low - margin, high + margin]
    axes.plot(reach, reach, color=INK, lw=0.8, ls="--")
    axes.set_xlim(*reach)
    axes.set_ylim(*reach)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{first}, bits per spike", fontsize=8)
    axes.set_ylabel(f"{second}, bits per spike", fontsize=8)
    if len(set(shown.values())) > 1:
        axes.legend(fontsize=SMALL, frameon=False, loc="best")
    return figure
