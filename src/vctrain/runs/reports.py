"""Which reports are there of a run's checkpoints?

`eval-bps --report` writes an event ``reported`` into the run of every checkpoint that it reports on, wherever the
report lies. One that lies in the run directory is found without it.
"""

from __future__ import annotations

import os
from pathlib import Path

from vctrain.runs.directory import append_event
from vctrain.runs.events import read_events

PAGE = "report.html"
_INSIDE = (PAGE, f"*/{PAGE}", f"eval/*/{PAGE}")


def note_report(checkpoint: Path, page: Path) -> tuple[Path, str | None] | None:
    """Write into the run of ``checkpoint`` that ``page`` reports on it; returns the run, and why it could not be
    written down. None for a checkpoint in no run."""
    folder = checkpoint.absolute().parent
    if folder.name != "checkpoints" or not (folder.parent / "run.json").is_file():
        return None
    run, page = folder.parent, page.absolute()
    inside = page.is_relative_to(run)
    try:
        # a run may be moved, with what is in it
        where = page.relative_to(run) if inside else page
        append_event(run, "reported", report=str(where), checkpoint=checkpoint.name)
    except OSError as error:
        return run, error.strerror or str(error)
    return run, None


def newest_report(run_dir: Path) -> Path | None:
    """The page written last among those that the run was told of or holds, and that are still there."""
    told = [run_dir / str(e.get("report")) for e in read_events(run_dir)[0] if e["event"] == "reported"]
    inside = [page for pattern in _INSIDE for page in run_dir.glob(pattern)]
    written = {page: time for page in (*told, *inside) if (time := _written(page)) is not None}
    return max(written, key=lambda page: written[page], default=None)


def _written(page: Path) -> float | None:
    try:
        return os.stat(page).st_mtime
    except OSError:
        return None
