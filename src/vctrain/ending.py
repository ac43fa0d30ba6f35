"""Was this command told to end, even if what the signal raised was lost?

An import that catches everything swallows a KeyboardInterrupt, and the command would go on. Signals are noted here, and
what takes long asks before it begins.
"""

from __future__ import annotations

import signal

from vctrain.errors import Terminated

_told: list[int] = []


def tell(number: int) -> None:
    """Note a signal and raise what it means: `KeyboardInterrupt` for SIGINT, `Terminated` for any other."""
    _told.append(number)
    check_not_told()


def check_not_told() -> None:
    """Raise again what the first signal has raised; nothing if there was none."""
    if _told:
        raise KeyboardInterrupt if _told[0] == signal.SIGINT else Terminated


def forget() -> int | None:
    """The first signal, if there was one; from now on there was none."""
    first = _told[0] if _told else None
    _told.clear()
    return first
