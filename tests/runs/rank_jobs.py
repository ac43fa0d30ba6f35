"""What the ranks of the supervisor's tests do; imported by their processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from vctrain.errors import BY_CODE


def report(word: str) -> dict[str, Any]:
    """What this rank was told."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    return {"word": word, **{name: os.environ[name] for name in names}}


def fail_on(rank: int, code: int, wait: float) -> dict[str, Any]:
    """The error with ``code`` on ``rank``; the others take ``wait`` seconds."""
    if int(os.environ["RANK"]) == rank:
        raise BY_CODE[code]("robs of session A are broken", hint="repair them")
    time.sleep(wait)
    return {}


def die_on(rank: int, wait: float) -> dict[str, Any]:
    """SIGKILL on ``rank``; the others take ``wait`` seconds."""
    if int(os.environ["RANK"]) == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(wait)
    return {}


def crash_on(rank: int) -> dict[str, Any]:
    """A bug on ``rank``."""
    if int(os.environ["RANK"]) == rank:
        raise ZeroDivisionError("a bug")
    return {}


def note_and_wait(folder: str) -> dict[str, Any]:
    """Leaves a file named by the process, and waits."""
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(120)
    return {}
