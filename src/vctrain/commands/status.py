"""``vctrain status``: how are runs doing, now or again and again?"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import completion, fitted, options
from vctrain.commands.render import duration, figure, share
from vctrain.errors import UsageError
from vctrain.runs.listing import runs_at
from vctrain.runs.status import UNDER_WAY, Status, status_of

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[RUN...]",
        help="Run directories, folders of runs, sweeps [default: runs].",
        autocompletion=completion.runs,
    ),
]
Watch = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", min=0.1, help="Look again this often, until nothing runs any more."),
]
_CLEAR = "\x1b[H\x1b[2J"


def status(
    runs: Runs = None,
    watch: Watch = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """State, progress, time left, best bits per spike and cost of runs; without RUN of all in runs/, newest first.

    A run is lost when run.json says that it is running and the process that wrote it is gone. The interval of the best
    figure is that of `vctrain eval-bps RUN --out RUN/eval`, if there is one.

    \b
    Examples:
      vctrain status
      vctrain status runs/RUN --watch 30
      vctrain status sweeps/lr --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if watch is not None and json:
        raise UsageError("--watch has no effect with --json, which is one object", hint="leave one of them out")
    while True:
        found = [status_of(member) for member in runs_at(runs or [])]
        if json:
            console.emit_json({"ok": True, "command": "status", "runs": [one.as_dict() for one in found]})
            return
        if watch is not None:
            console.result(f"{_CLEAR if console.is_terminal(sys.stdout) else ''}{time.strftime('%Y-%m-%d %H:%M:%S')}")
        show(found)
        if watch is None or not any(one.state in UNDER_WAY for one in found):
            return
        time.sleep(watch)


def show(found: Sequence[Status]) -> None:
    """A line a run, and below them why runs failed or are lost."""

    def column(name: str, worth: int, cells: Sequence[str]) -> fitted.Column:
        return fitted.Column(name, tuple(cells), worth)

    fitted.show(
        [
            column("run", 9, [one.name for one in found]),
            column("state", 9, [one.state for one in found]),
            column("epoch", 5, [_of(one.epoch, one.epochs) for one in found]),
            column("step", 3, [_of(one.step, one.steps) for one in found]),
            column("left", 7, [duration(one.eta_seconds) for one in found]),
            column("best val_bps", 8, [figure(one.best.val_bps_overall) for one in found]),
            column("95 %", 4, [interval(one) for one in found]),
            column("of oracle", 2, [share(one.best.fraction_of_oracle) for one in found]),
            column("took", 6, [duration(one.seconds) for one in found]),
            column("host", 1, [one.host or "-" for one in found]),
        ]
    )
    show_reasons(found)


def show_reasons(found: Sequence[Status]) -> None:
    """Why a run is not as it should be, a line each."""
    for one in found:
        if one.reason:
            console.result(f"{one.name}: {one.state}: {one.reason}")


def interval(one: Status) -> str:
    """The ends of the interval of the best figure."""
    ends = one.best.interval
    return "-" if ends is None else f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def _of(done: int | None, total: int | None) -> str:
    if total is None:
        return "-" if done is None else f"{done}"
    return f"{done or 0}/{total}"
