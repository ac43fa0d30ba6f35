"""Was this command told to end, and when may that be raised?

What a signal raises in the middle of an import is swallowed there, or leaves half a module behind: of 46 commands
interrupted while they imported torch three ended in a RecursionError, and Python killed eight more after they had ended
(an interrupted ``exec`` counts as one that nobody caught). So a signal waits until the import is over.
"""

from __future__ import annotations

import signal
from types import FrameType

from vctrain.errors import Terminated

_IMPORTING = "<frozen importlib._bootstrap>"
_AGAIN_SECONDS = 0.02
_ENOUGH = 3
"""Signals after which an import that hangs is not waited for."""

_told: list[int] = []


def tell(number: int, frame: FrameType | None = None) -> None:
    """Note a signal and raise what it means, at once or after the import that ``frame`` is in: `KeyboardInterrupt` for
    SIGINT, `Terminated` for any other."""
    _told.append(number)
    _raise_outside_imports(frame)


def check_not_told() -> None:
    """Raise again what the first signal has raised, or has not yet; nothing if there was none."""
    if _told:
        # once: what tidies up afterwards must not be interrupted by the same signal
        put_off_no_longer()
        raise KeyboardInterrupt if _told[0] == signal.SIGINT else Terminated


def forget() -> int | None:
    """The first signal, if there was one; from now on there was none."""
    first = _told[0] if _told else None
    _told.clear()
    put_off_no_longer()
    return first


def put_off_no_longer() -> None:
    """What waits for the end of an import is not raised then."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _raise_outside_imports(frame: FrameType | None) -> None:
    if len(_told) >= _ENOUGH or not _in_an_import(frame):
        check_not_told()
        return
    signal.signal(signal.SIGALRM, lambda _, then: _raise_outside_imports(then))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)


def _in_an_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
