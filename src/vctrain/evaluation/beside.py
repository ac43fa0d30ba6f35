"""How does a process behave that runs beside a training: signals, its end, and its last words if it fails?"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable

from vctrain.errors import VctrainError

LOOK_SECONDS = 1.0


def run_beside(work: Callable[[], object]) -> None:
    """Do ``work``, which asks `more_to_come` whether to go on. What ends it too early is the last line on standard
    error: in words for what a disk, a file or a service did, for anything else after its traceback."""
    # signals that tell a job to save are for the training; this ends after it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)
    try:
        work()
    except VctrainError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(error.code) from error
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'the machine'}: {error.strerror or error}\n")
        raise SystemExit(5) from error


def more_to_come() -> bool:
    """False at once when the training has ended, however it did: its end of standard input is closed then. True after a
    while if not."""
    ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    return not (ready and not os.read(sys.stdin.fileno(), 1))
