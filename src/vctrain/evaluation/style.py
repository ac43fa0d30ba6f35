"""How does every sheet and picture of a report look: titles, axes, colours that the colour-blind tell apart?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SMALL = 7.5
INK, MUTED, OBSERVED = "#222222", "#777777", "#8a8f98"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Okabe and Ito (2008) without its yellow, which white paper swallows."""


def title(axes: Axes, text: str, *, size: float = 9, grid: bool = False) -> None:
    """A title on the left, small ticks, no frame on the right and above."""
    axes.set_title(text, fontsize=size, loc="left", pad=4)
    axes.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(alpha=0.25, lw=0.5)


def nothing(axes: Axes, text: str) -> None:
    """Axes that say why they are empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=MUTED, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def legend_below(figure: Figure) -> None:
    """One legend under all axes, each name once; none where nothing has a name."""
    named = dict[str, Any]()
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    if named:
        handles, names = list(named.values()), list(named)
        figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name; all the same where there are more names than colours."""
    if len(names) > len(PALETTE):
        return dict.fromkeys(names, PALETTE[0])
    return dict(zip(names, PALETTE, strict=False))
