"""Which columns of a table fit on the terminal, and which are left out first?"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vctrain import console

_BETWEEN = 3
"""Characters between two columns on a terminal."""
_LONGEST_NAME = 24
_MOST_NAMED = 6
ELLIPSIS = "..."


@dataclass(frozen=True)
class Column:
    """A column: its heading, its cells, and how much it is worth."""

    name: str
    cells: tuple[str, ...]
    worth: int
    """Where the table is too wide, columns worth the least are left out; 9 stays in any case."""

    @property
    def width(self) -> int:
        """Characters."""
        return max(map(len, (self.name, *self.cells)))


def show(columns: Sequence[Column]) -> None:
    """Print a table whose lines do not wrap; columns that nobody filled, or that do not fit, are left out, the latter
    with a note."""
    filled = [column for column in columns if column.worth == 9 or any(cell not in ("", "-") for cell in column.cells)]
    shown, left_out = fitting(filled, room())
    rows = list(zip(*(column.cells for column in shown), strict=True))
    console.table("", [column.name for column in shown], rows)
    if left_out:
        more = len(left_out) - _MOST_NAMED
        named = ", ".join(left_out[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        console.note(f"not shown for want of width: {named} (--json has all)")


def room() -> int | None:
    """Characters of a line of stdout; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fitting(columns: Sequence[Column], characters: int | None) -> tuple[list[Column], list[str]]:
    """The columns that fit into so many ``characters``, and the names of the others.

    First dotted headings lose what leads to them where the rest still tells them apart, then long names their middle,
    then columns go.
    """
    kept, gone = list(columns), list[str]()
    if characters is None:
        return kept, gone
    if _total(kept) > characters:
        kept = _shortened(kept)
    while _total(kept) > characters and any(column.worth < 9 for column in kept):
        least = min(reversed(kept), key=lambda column: column.worth)
        kept.remove(least)
        gone.append(least.name)
    return kept, gone[::-1]


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + _BETWEEN * (len(columns) - 1) + 2


def _shortened(columns: Sequence[Column]) -> list[Column]:
    last = [column.name.rpartition(".")[2] for column in columns]
    names = [short if last.count(short) == 1 else column.name for short, column in zip(last, columns, strict=True)]
    return [
        Column(name, tuple(_middle_out(cell) for cell in column.cells), column.worth)
        for name, column in zip(names, columns, strict=True)
    ]


def _middle_out(text: str) -> str:
    """The end of a run's name tells it from others.

    >>> _middle_out("gaborium-lr1e-3-a_rather_long_name-0f3a")
    'gaborium-l...g_name-0f3a'
    """
    if len(text) <= _LONGEST_NAME:
        return text
    half = (_LONGEST_NAME - len(ELLIPSIS)) // 2
    return f"{text[:half]}{ELLIPSIS}{text[-(_LONGEST_NAME - len(ELLIPSIS) - half) :]}"
