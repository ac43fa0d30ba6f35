"""Where does what the tool says go: rich on a terminal, plain lines otherwise, JSON on request, silent off rank 0?

Results go to stdout, everything else to stderr. Nothing here imports torch, and rich is imported only on a terminal.
"""

from __future__ import annotations

import datetime
import json as json_module
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

SETTINGS = "VCTRAIN_CONSOLE"
"""Environment variable by which ranks that a command starts learn of its ``--json``, ``--quiet`` and ``--debug``."""
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( ?%)?|null|-|", re.IGNORECASE)


@dataclass
class _State:
    json: bool = False
    quiet: bool = False
    debug: bool = False
    log: Path | None = None
    live: Live | None = None


_asked = os.environ.get(SETTINGS, "").split(",")
_state = _State(json="json" in _asked, quiet="quiet" in _asked, debug="debug" in _asked)


def configure(*, json: bool = False, quiet: bool = False, debug: bool = False) -> None:
    """Set what ``--json``, ``--quiet`` and ``--debug`` ask for; the log file is forgotten."""
    stop_progress()
    _state.json, _state.quiet, _state.debug, _state.log = json, quiet, debug, None
    asked = {"json": json, "quiet": quiet, "debug": debug}
    os.environ[SETTINGS] = ",".join(name for name, on in asked.items() if on)


def log_to(path: Path | None) -> None:
    """Also append notes, warnings and progress lines, with the time, to the file ``path`` (a run's ``run.log``)."""
    _state.log = path


def json_mode() -> bool:
    """Whether stdout is reserved for one JSON object."""
    return _state.json


def debug_mode() -> bool:
    """Whether tracebacks are wanted."""
    return _state.debug


def rank() -> int:
    """This process's number among those that torchrun, srun or our supervisor started; 0 if it is alone.

    >>> rank()
    0
    """
    if "RANK" in os.environ:
        return int(os.environ["RANK"])
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return int(os.environ.get("SLURM_PROCID", "0"))
    return 0


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether ``stream`` (stderr) is a terminal that may get colours and a live bar (no NO_COLOR, not dumb)."""
    stream = stream or sys.stderr
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def note(text: str) -> None:
    """Say something on stderr; not with ``--quiet``, not off rank 0."""
    _log("note", text)
    if not _state.quiet and rank() == 0:
        _say(text, style="")


def warn(text: str) -> None:
    """Say on stderr what the user should look at, also with ``--quiet``."""
    _log("warning", text)
    if rank() == 0:
        _say(f"warning: {text}", style="yellow")


def stopped(message: str, hint: str) -> None:
    """The line that ends a command which stopped as it was asked to, on stderr."""
    stop_progress()
    _log("note", f"{message} ({hint})")
    if rank() == 0:
        _say(one_line(message), style="bold")
        _say(f"hint: {one_line(hint)}", style="")


def from_any_rank(text: str) -> None:
    """A line from whichever process this is, on stderr."""
    _say(text, "")


def error(message: str, hint: str = "") -> None:
    """The line that ends a failed command, and its hint, on stderr; other ranks say which they are."""
    stop_progress()
    name = f"rank {rank()}: " if rank() else ""
    _log("error", f"{message} ({hint})" if hint else message)
    _say(f"{name}error: {one_line(message)}", style="bold red")
    if hint:
        _say(f"{name}hint: {one_line(hint)}", style="")


def result(text: str) -> None:
    """A line of the command's result: stdout, or stderr when stdout holds JSON; not off rank 0."""
    if rank() == 0 and not (_state.json and _state.quiet):
        stream = sys.stderr if _state.json else sys.stdout
        _write(stream, text)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of the command's result; columns of numbers are aligned right. Goes where `result` goes."""
    if rank() != 0 or (_state.json and _state.quiet):
        return
    stream = sys.stderr if _state.json else sys.stdout
    numeric = [all(_NUMBER.fullmatch(row[i]) for row in rows) and bool(rows) for i in range(len(columns))]
    if is_terminal(stream):
        from rich import box
        from rich.table import Table
        from rich.text import Text

        drawn = Table(
            title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", pad_edge=False
        )
        for name, right in zip(columns, numeric, strict=True):
            drawn.add_column(Text(name), justify="right" if right else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(cell) for cell in row))
        rich_on(stream).print(drawn)
        return
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [title] if title else []
    for row in [columns, *rows]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    _write(stream, "\n".join(lines))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as strict JSON: paths as text, numbers that JSON cannot hold (NaN, infinity) as null.

    >>> to_json({"bps": float("nan"), "run": Path("runs/a")})
    '{"bps": null, "run": "runs/a"}'
    """
    return json_module.dumps(_plain(value), indent=indent, allow_nan=False)


def emit_json(obj: Mapping[str, Any]) -> None:
    """The one JSON object of ``--json`` on stdout; rank 0 only."""
    stop_progress()
    if rank() == 0:
        _write(sys.stdout, to_json(obj))
        sys.stdout.flush()


def one_line(text: str) -> str:
    """``text`` with its line breaks folded into spaces, and marks that a terminal would obey spelt out.

    >>> one_line("unknown key \\x1b[2J\\nin lab.yaml")
    'unknown key \\\\x1b[2J in lab.yaml'
    """
    folded = " ".join(text.split())
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in folded)


def stop_progress() -> None:
    """Take a live bar off the terminal, if one is there."""
    if _state.live is not None:
        _state.live.stop()


class Live(Protocol):
    """What stays at the bottom of a terminal while lines are written above it."""

    def stop(self) -> None:
        """Leave the terminal; stopping twice is harmless."""

    def print(self, text: str, style: str) -> None:
        """Write a line above."""


def may_be_live() -> bool:
    """Whether something may stay at the bottom of stderr: on a terminal, on rank 0, unless ``--quiet``."""
    return is_terminal() and not _state.quiet and rank() == 0


def set_live(live: Live) -> None:
    """From now on lines are written above ``live``."""
    _state.live = live


def unset_live(live: Live) -> None:
    """``live`` has left the terminal."""
    if _state.live is live:
        _state.live = None


def rich_on(stream: TextIO) -> Console:
    """A rich console that shows text as it is."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _say(text: str, style: str) -> None:
    if _state.live is not None:
        _state.live.print(text, style)
    elif style and is_terminal():
        rich_on(sys.stderr).print(text, style=style, markup=False, highlight=False, soft_wrap=True)
    else:
        _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    # A stream in an old encoding must not turn a result into a failure.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _log(kind: str, text: str) -> None:
    if _state.log is not None and rank() == 0:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            with _state.log.open("a", encoding="utf-8") as log:
                log.write(f"{now} {kind}: {text}\n")
        except OSError as failure:
            # An error has to be told also when the disk is full; a file that matters will fail in its own words.
            path, _state.log = _state.log, None
            _say(f"{path} cannot be written any more: {failure.strerror}", "yellow")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
