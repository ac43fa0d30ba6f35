"""What is drawn of a twin at a step of its training, and how does it get into the run directory?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from vctrain.errors import ContractError
from vctrain.evaluation.inspection import rows_of
from vctrain.evaluation.pictures.course import course
from vctrain.evaluation.report import learned
from vctrain.evaluation.report.page import picture
from vctrain.evaluation.report.parts import Kernels, filters_of, kernels_of, parts_of
from vctrain.models.build import AnyTwin
from vctrain.runs import directory
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.events import subjects_of
from vctrain.runs.files import write_bytes_atomically
from vctrain.runs.pictures import picture_file, waiting

MOST_SESSIONS = 48
"""Sessions whose readouts are drawn at most."""


def draw_waiting(run_dir: Path) -> None:
    """Draw what waits in a run directory, step by step, and write each set down as an event.

    Raises ContractError for a checkpoint that cannot be used, OSError if the disk does not take a picture.
    """
    for step, path in waiting(run_dir):
        draw_step(run_dir, step, path)
        path.unlink(missing_ok=True)


def draw_step(run_dir: Path, step: int, path: Path) -> dict[str, str]:
    """Draw the twin of the checkpoint at ``path``, taken at ``step``; returns the pictures by name.

    The event names them once all are there. Raises ContractError for a checkpoint of another step.
    """
    started = time.monotonic()
    checkpoint = read_checkpoint(path)
    if checkpoint.step != step:
        raise ContractError(
            f"{path} is of step {checkpoint.step}, not {step}", hint="delete it; the run goes on without its pictures"
        )
    rate_hz = float(checkpoint.sessions[0]["rate_hz"])
    rows = [row for row in rows_of(run_dir) if int(row["step"]) <= step]
    figures = {"bps": course(rows, subjects_of(run_dir)), **figures_of(checkpoint.build(), rate_hz)}
    files = {name: picture_file(step, name) for name in figures}
    for name, figure in figures.items():
        write_bytes_atomically(run_dir / files[name], picture(name, name, "", figure).png)
    seconds = round(time.monotonic() - started, 2)
    directory.append_event(run_dir, "pictures", step=step, epoch=checkpoint.epoch, files=files, seconds=seconds)
    return files


def figures_of(twin: AnyTwin, rate_hz: float) -> dict[str, Figure]:
    """The learned parts of a twin that can be drawn, by name: ``temporal`` and ``spatial`` kernels, and where the
    ``readouts`` of each session lie. What it does not have is left out."""
    found: dict[str, Figure] = {}
    temporal, spatial = kernels_of(twin), filters_of(twin)
    if isinstance(temporal, Kernels):
        found["temporal"] = learned.kernels(temporal, rate_hz)
    if spatial is not None:
        found["spatial"] = learned.filters(spatial)
    if twin.reads_stimulus:
        parts = [part for part in parts_of(twin, _spread(twin.names)) if part.masks]
        if parts:
            found["readouts"] = learned.fields(parts, MOST_SESSIONS)
    return found


def _spread(names: Sequence[str]) -> list[str]:
    """At most `MOST_SESSIONS` of ``names``, evenly spaced.

    >>> [len(_spread([str(n) for n in range(count)])) for count in (3, 48, 100)]
    [3, 48, 48]
    """
    shown = min(len(names), MOST_SESSIONS)
    return [names[place * len(names) // shown] for place in range(shown)]
