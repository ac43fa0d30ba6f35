"""How is said what is wrong with recordings, and how far the reading of them is?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

Tell = Callable[[int, int, str], None]
"""Told how many bytes were read, of how many, and of what."""


@dataclass(frozen=True)
class Problem:
    """Something to look at: where, what, and what to do about it."""

    where: str
    what: str
    hint: str
    blocks: bool = False
    """Whether vctrain refuses to use the recording as it is."""

    def as_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


@dataclass
class Findings:
    """Problems and notes about one thing, in the order they were found."""

    where: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, what: str, hint: str, *, blocks: bool = False) -> None:
        """Add a problem."""
        self.problems.append(Problem(self.where, what, hint, blocks))

    def note(self, text: str) -> None:
        """Add what is worth knowing but need not be mended."""
        self.notes.append(f"{self.where}: {text}")


class Reading:
    """How far the reading of several files is."""

    def __init__(self, total: int, tell: Tell) -> None:
        self.total, self.done, self._tell = total, 0, tell

    def advance(self, n_bytes: int, what: str) -> None:
        """So many more bytes of `what` were read."""
        self.done += n_bytes
        self._tell(self.done, self.total, what)


def listed(items: Iterable[object], most: int = 12) -> str:
    """Items for a message, the first `most` of them.

    >>> listed(range(3)), listed(range(20), most=2)
    ('0, 1, 2', '0, 1 and 18 more')
    """
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def counted(n: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> counted(1, "trial"), counted(1200, "trial"), counted(2, "loss", "losses")
    ('1 trial', '1,200 trials', '2 losses')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
