"""How does a quantity run over a training, in one line of characters?"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Mapping, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-:=+*#"
"""The same eight heights where the output has no blocks."""
_FLAT = ("─", "-")
NARROWEST, WIDEST = 16, 96
COLUMNS = ("quantity", "", "least", "largest")
_BETWEEN = 12
"""Spaces that a table puts between and around four columns."""


def sparkline(values: Sequence[float], width: int, blocks: bool = True) -> str:
    """``values`` from left to right as heights between the least and the largest of them, ``width`` characters; a line
    if they are all the same.

    A character stands for the mean of its share of the values.

    >>> sparkline([0.0, 1.0, 2.0, 3.0], 4), sparkline([0.0, 1.0, 2.0, 3.0], 4, blocks=False)
    ('▁▃▆█', '_-+#')
    >>> sparkline([0.5] * 9, 3)
    '───'
    """
    levels, flat = (BLOCKS, _FLAT[0]) if blocks else (PLAIN, _FLAT[1])
    least, largest = min(values), max(values)
    if largest <= least:
        return flat * width
    edges = [round(column * len(values) / width) for column in range(width + 1)]
    drawn = []
    for start, stop in itertools.pairwise(edges):
        share = values[min(start, len(values) - 1) : max(stop, start + 1)]
        height = (sum(share) / len(share) - least) / (largest - least)
        drawn.append(levels[min(int(height * (len(levels) - 1) + 0.5), len(levels) - 1)])
    return "".join(drawn)


def rows(curves: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """A row a quantity under `COLUMNS`, as wide as stdout leaves room for: name, line, least and largest value."""
    figures = {name: (f"{min(values):.3g}", f"{max(values):.3g}") for name, values in curves.items()}
    beside = [*([name, "", *pair] for name, pair in figures.items()), list(COLUMNS)]
    taken = sum(max(len(row[column]) for row in beside) for column in (0, 2, 3))
    room = shutil.get_terminal_size().columns - taken - _BETWEEN
    width = min(max(room, NARROWEST), WIDEST)
    blocks = has_blocks(sys.stdout.encoding)
    return [[name, sparkline(values, width, blocks), *figures[name]] for name, values in curves.items()]


def panel(curves: Mapping[str, Sequence[float]], width: int, most: int, blocks: bool) -> list[str]:
    """At most ``most`` lines of at most ``width``: name, line over time and last value of each; the rest is counted.

    >>> panel({"overall": [0.0, 1.0], "Ada": [1.0, 1.0], "Bob": [2.0]}, 30, 2, blocks=False)
    ['overall  _#  1.0000', '2 more']
    >>> panel({"overall": [0.0, 1.0]}, 12, 2, blocks=False)
    []
    """
    shown = dict(list(curves.items())[: most if len(curves) <= most else most - 1])
    widest = min(max((len(name) for name in shown), default=0), width // 3)
    room = min(width - widest - 12, WIDEST)
    if room < 1 or not shown:
        return []
    lines = [
        f"{name[:widest]:<{widest}}  {sparkline(values, min(room, len(values)), blocks)}  {values[-1]:.4f}"
        for name, values in shown.items()
    ]
    return [*lines, *([f"{len(curves) - len(shown)} more"] if len(shown) < len(curves) else [])]


def has_blocks(encoding: str | None) -> bool:
    """Whether text in this encoding can hold the characters.

    >>> has_blocks("utf-8"), has_blocks("ascii"), has_blocks("latin-1")
    (True, False, False)
    """
    try:
        (BLOCKS + _FLAT[0]).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
