"""Who writes into a run directory? At most one command, named by a lock file with its host and process."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.errors import FaultError, UsageError
from vctrain.runs.supervisor import launched_externally

NAME = "run.lock"
BEAT_SECONDS = 20.0
"""How often the holder says that it is alive."""
STALE_SECONDS = 180.0
"""A lock of another host that has been silent for so long is taken over."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of ``run_dir``.

    UsageError naming host and process when another command holds it. A lock whose holder is gone is taken over with a
    note: on this host by its process, in the same SLURM job by its earlier start, elsewhere after `STALE_SECONDS` of
    silence.
    """
    path = Path(run_dir) / NAME
    mine = _me()
    _take(path, mine)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, mine, ended), name="run-lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def holder(run_dir: Path) -> str | None:
    """Who is writing into ``run_dir`` now, in words; None when nobody is, or a process started together with this
    one."""
    path = Path(run_dir) / NAME
    found = _read(path)
    if found is None or _why_gone(path, found) is not None:
        return None
    together = _launch()
    return None if together is not None and found.get("launch") == together else _words(found)


@dataclass(frozen=True)
class Held:
    """What a lock file says: whose it is, and whether that process still writes."""

    host: str
    seen: float
    """When it last said that it is alive, seconds since the epoch."""
    gone: str | None
    """Why it no longer writes; None if it may."""


def held(run_dir: Path) -> Held | None:
    """The lock of ``run_dir``; None without one that can be read."""
    path = Path(run_dir) / NAME
    found = _read(path)
    if found is None:
        return None
    try:
        seen = path.stat().st_mtime
    except FileNotFoundError:
        return None
    return Held(str(found["host"]), seen, _why_gone(path, found))


def _launch() -> str | None:
    """What srun or torchrun told all processes that it started together; None for one that is alone."""
    if not launched_externally():
        return None
    names = (
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
        "SLURM_RESTART_COUNT",
        "TORCHELASTIC_RUN_ID",
        "MASTER_ADDR",
        "MASTER_PORT",
    )
    return "/".join(os.environ.get(name, "") for name in names)


def _take(path: Path, mine: dict[str, Any]) -> None:
    while not _create(path, mine):
        found = _read(path)
        if found is None:
            if path.exists():
                # written by nobody that we know: half a lock from a crash
                console.warn(f"{path} cannot be read; taken over")
                _replace(path, mine)
                return
            continue
        why = _why_gone(path, found)
        if why is None:
            raise UsageError(
                f"{path.parent} is being written by {_words(found)}; nothing was changed",
                hint=f"wait for it or stop it; if it is certainly gone, delete {path}",
            )
        console.note(f"the lock of {_words(found)} is taken over: {why}")
        _replace(path, mine)
        time.sleep(0.05)
        if _read(path) == mine:
            return


def _create(path: Path, mine: dict[str, Any]) -> bool:
    """Whether the lock was free and is ours: it appears whole, or not at all."""
    temporary = _written(path, mine)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # a file system without links
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(mine))
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _replace(path: Path, mine: dict[str, Any]) -> None:
    os.replace(_written(path, mine), path)


def _written(path: Path, mine: dict[str, Any]) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(json.dumps(mine), encoding="utf-8")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FaultError(
            f"cannot write the lock {path}: {error.strerror}", hint="check free space and permissions"
        ) from error
    return temporary


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _process_start(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "restart": os.environ.get("SLURM_RESTART_COUNT", "0"),
        "launch": _launch(),
        "token": secrets.token_hex(4),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"host", "pid", "started"} <= found.keys() else None


def _why_gone(path: Path, found: dict[str, Any]) -> str | None:
    """Why its holder no longer writes; None if it may."""
    if found["host"] == socket.gethostname():
        alive = _process_start(int(found["pid"])) == found["started"]
        return None if alive else f"process {found['pid']} has ended"
    job, restart = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0")
    if job is not None and found.get("job") == job and found.get("restart") != restart:
        return f"SLURM job {job} was requeued"
    try:
        silent = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return "it has just been given back"
    return f"silent for {silent:.0f} s" if silent > STALE_SECONDS else None


def _process_start(pid: int) -> str | None:
    """What tells a process from a later one with the same number; None if there is no such process."""
    try:
        # the 22nd field; the 2nd, the name, may hold blanks and brackets
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return "running"
    return None if fields[0] in "ZX" else fields[19]


def _beat(path: Path, mine: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        if _read(path) == mine:
            with suppress(FileNotFoundError):
                os.utime(path)


def _words(found: dict[str, Any]) -> str:
    job = f", SLURM job {found['job']}" if found.get("job") else ""
    return f"process {found['pid']} on {found['host']}{job}"
