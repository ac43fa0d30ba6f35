"""The process that draws a run while it trains: ``python -m vctrain.evaluation.pictures.follow RUN``.

It ends when its standard input does, after it has drawn what waits by then.
"""

from __future__ import annotations

import sys
from pathlib import Path

from vctrain.evaluation.beside import more_to_come, run_beside
from vctrain.evaluation.pictures.draw import draw_waiting


def main() -> None:
    """Draw a run; what ends it too early is the last line on standard error."""
    run_beside(lambda: _follow(Path(sys.argv[1])))


def _follow(run_dir: Path) -> None:
    going_on = True
    while going_on:
        draw_waiting(run_dir)
        going_on = more_to_come()
    draw_waiting(run_dir)


if __name__ == "__main__":
    main()
