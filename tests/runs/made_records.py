"""Run directories as a run leaves them, without a run: run.json, config.yaml, events, lock."""

from __future__ import annotations

import datetime
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vctrain.config.resolve import render, resolve
from vctrain.runs import lock

START = 1_700_000_000.0
"""When runs are created, seconds since the epoch."""
Event = tuple[float, str, Mapping[str, Any]]


def moment(seconds: float) -> str:
    """So many seconds after `START`, as events write it."""
    return datetime.datetime.fromtimestamp(START + seconds, datetime.UTC).isoformat(timespec="milliseconds")


def validated(at: float, step: int, bps: float, **more: Any) -> Event:
    """A validation ``at`` so many seconds; ten steps an epoch."""
    return at, "validated", {"step": step, "epoch": step // 10 - 1, "val_bps_overall": bps, **more}


def events_of(*events: Event) -> list[dict[str, Any]]:
    """As read back."""
    return [{"v": 1, "time": moment(seconds), "event": kind, **fields} for seconds, kind, fields in events]


def opened(seconds: float, session: str = "A") -> Event:
    """A session was opened."""
    return seconds, "opened", {"session": session}


def make_run(
    folder: Path,
    state: str = "done",
    sets: Sequence[str] = (),
    events: Sequence[Event] = (),
    **run: Any,
) -> Path:
    """A run of ten epochs of ten steps, in ``folder``."""
    folder.mkdir(parents=True)
    resolved = resolve("gaborium", [], ["trainer.max_epochs=10", "trainer.steps_per_epoch=10", *sets])
    (folder / "config.yaml").write_text(render(resolved.settings, resolved.provenance))
    content = {
        **{"format": 1, "run": folder.name, "state": state, "created": moment(0), "updated": moment(0)},
        **{"preset": "gaborium", "host": {"name": "there"}, "best_score": None, "step": 0, "error": None, **run},
    }
    (folder / "run.json").write_text(json.dumps(content))
    lines = events_of((0.0, "created", {}), *events)
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "checkpoints").mkdir()
    return folder


def hold(folder: Path, *, pid: int | None = None, host: str | None = None, silent: float = 0.0) -> None:
    """A lock of this process, or of another one that was last heard of ``silent`` seconds ago."""
    mine = {**lock._me(), "host": host or socket.gethostname()}
    if pid is not None:
        mine |= {"pid": pid, "started": "1"}
    path = folder / lock.NAME
    path.write_text(json.dumps(mine))
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))
