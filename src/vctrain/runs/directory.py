"""What is in a run directory, and how is it planned, created and kept up to date?

Torch-free. A directory is planned before the data are opened and created after; it is never overwritten or deleted.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import vctrain
from vctrain import console
from vctrain.config.resolve import render
from vctrain.config.schema import Settings
from vctrain.errors import ContractError, FaultError, UsageError
from vctrain.runs.files import write_atomically
from vctrain.runs.metrics_file import MetricsFile
from vctrain.runs.naming import run_name, shared_token

__all__ = [
    "MetricsFile",
    "append_event",
    "create_run_dir",
    "plan_run_dir",
    "read_run",
    "update_run",
    "write_contract",
]

FORMAT = 1
"""Version of run.json, contract.json and the events."""
_LIBRARIES = ("torch", "lightning", "numpy", "pydantic")


def plan_run_dir(settings: Settings, provenance: Mapping[str, str], run_dir: Path | None = None) -> Path:
    """Where the run will be: ``run_dir``, or ``runs/<preset>-<what differs>-<4 hex>``. Creates nothing.

    UsageError if ``run_dir`` exists (only rank 0 looks: it may already have created it), or lies below a file.
    """
    if run_dir is not None:
        if console.rank() == 0 and os.path.lexists(run_dir):
            raise _exists(run_dir)
        _check_way(run_dir)
        return run_dir
    shared = shared_token()
    while True:
        path = Path("runs") / run_name(settings, provenance, shared or secrets.token_hex(2))
        _check_way(path)
        if not os.path.lexists(path) or console.rank() != 0:
            return path
        if shared is not None:
            raise _exists(path)


def create_run_dir(path: Path, settings: Settings, provenance: Mapping[str, str], argv: Sequence[str]) -> Path:
    """Create the planned directory with config.yaml, run.json, the first event and ``checkpoints/``.

    UsageError if it exists by now or lies below a file, FaultError if it cannot be made.
    """
    _check_way(path)
    # Processes started together look whether it is there; what they find has to be whole.
    whole = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (whole / "checkpoints").mkdir(parents=True)
        write_atomically(whole / "config.yaml", render(settings, provenance))
        write_atomically(whole / "run.json", _json(_birth(path, settings, argv)))
        if os.path.lexists(path):
            raise _exists(path)
        os.rename(whole, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FaultError(
            f"cannot create the run directory {path}: {reason}", hint="choose another --run-dir"
        ) from error
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    append_event(path, "created", argv=list(argv))
    return path


def _check_way(path: Path) -> None:
    there = next((parent for parent in path.parents if os.path.lexists(parent)), None)
    if there is not None and not there.is_dir():
        raise UsageError(
            f"the run directory {path} cannot be there: {there} is not a folder; nothing was created",
            hint="choose another --run-dir",
        )


def read_run(run_dir: Path) -> dict[str, Any]:
    """``run.json`` of a run directory; ContractError if it is missing or damaged."""
    path = Path(run_dir) / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{path} cannot be read: {console.one_line(str(error))}", hint="give a run directory"
        ) from error
    if not isinstance(run, dict):
        raise ContractError(f"{path} does not hold an object", hint="give a run directory")
    return run


def update_run(run_dir: Path, **fields: Any) -> None:
    """Set fields of ``run.json`` (state, best_score, step, ...); readers see the old file or the new one, whole."""
    run = read_run(run_dir) | fields | {"updated": _now()}
    write_atomically(Path(run_dir) / "run.json", _json(run))


def append_event(run_dir: Path, kind: str, **fields: Any) -> None:
    """Append one event to ``events.jsonl``: ``{"v", "time", "event", ...fields}`` on a line of its own."""
    path = Path(run_dir) / "events.jsonl"
    line = console.to_json({"v": FORMAT, "time": _now(), "event": kind, **fields})
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            # A line that a crash cut off must not swallow this one.
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(f"{line}\n".encode())


def write_contract(run_dir: Path, sessions: Sequence[Mapping[str, Any]]) -> None:
    """``contract.json``: what the run was trained on, a plain description of each session."""
    write_atomically(Path(run_dir) / "contract.json", _json({"format": FORMAT, "sessions": list(sessions)}))


def _birth(path: Path, settings: Settings, argv: Sequence[str]) -> dict[str, Any]:
    now = _now()
    return {
        "format": FORMAT,
        "run": path.name,
        "state": "created",
        "created": now,
        "updated": now,
        "preset": settings.preset,
        "command": shlex.join(argv),
        "argv": list(argv),
        "cwd": str(Path.cwd()),
        "versions": versions(),
        "git": git_state(),
        "host": {
            "name": socket.gethostname(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "pid": os.getpid(),
        },
        "ids": {
            name.lower(): os.environ[name] for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID") if name in os.environ
        },
        "best_score": None,
        "step": 0,
        "seconds": None,
    }


def versions() -> dict[str, str | None]:
    """What this run is made with."""
    found: dict[str, str | None] = {"vctrain": vctrain.__version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = None
    return found


def git_state(source: Path | None = None) -> dict[str, Any] | None:
    """Commit of the repository that tracks ``source`` (vctrain itself) and whether its files differ from it; None if
    there is none."""
    source = Path(vctrain.__file__) if source is None else source

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(source.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", source.name) is None:
        return None
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _exists(path: Path) -> UsageError:
    return UsageError(f"run directory {path} exists; nothing was changed", hint="choose another --run-dir")


def _json(value: Mapping[str, Any]) -> str:
    return console.to_json(value, indent=1) + "\n"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
