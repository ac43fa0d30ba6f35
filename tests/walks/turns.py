"""Which of the walks run, where there is no time for all of them?"""

from __future__ import annotations

from collections.abc import Set

import pytest

ALL = "all"


def whose_turn(walks: Set[str], turn: str) -> set[str]:
    """``all`` of the walks, or the one with the number ``turn``, such as the day of the year: they take turns by name.

    >>> [sorted(whose_turn({"own", "old", "new"}, turn)) for turn in ("0", "004", "all")]
    [['new'], ['old'], ['new', 'old', 'own']]
    """
    if turn == ALL or not walks:
        return set(walks)
    if not turn.isdecimal():
        raise pytest.UsageError(f"VCTRAIN_WALKS is {turn!r}: say all, or a number such as the day of the year")
    return {sorted(walks)[int(turn) % len(walks)]}
