"""The process that shows a run elsewhere while it trains: ``python -m vctrain.evaluation.mirror.follow RUN SINK``.

A process of its own, so that nothing a client does, or does not do, reaches the training. It ends when its standard
input does, which is when the training has ended, however it did.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from vctrain.errors import VctrainError
from vctrain.evaluation.mirror.replay import replay

LOOK_SECONDS = 1.0


def main() -> None:
    """Follow a run; what ends it too early is the last line on standard error."""
    # signals that tell a job to save are for the training; this ends after it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)
    try:
        replay(Path(sys.argv[1]), sys.argv[2], wait=_more_to_come)
    except VctrainError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(error.code) from error


def _more_to_come() -> bool:
    ready, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    return not (ready and not os.read(sys.stdin.fileno(), 1))


if __name__ == "__main__":
    main()
