"""The process that shows a run elsewhere while it trains: ``python -m vctrain.evaluation.mirror.follow RUN SINK``.

A process of its own, so that nothing a client does, or does not do, reaches the training. It ends when its standard
input does, which is when the training has ended, however it did.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vctrain.evaluation.beside import more_to_come, run_beside
from vctrain.evaluation.mirror.replay import replay


def main() -> None:
    """Follow a run; what ends it too early is the last line on standard error."""
    run_beside(lambda: replay(Path(sys.argv[1]), sys.argv[2], wait=more_to_come))


if __name__ == "__main__":
    main()
