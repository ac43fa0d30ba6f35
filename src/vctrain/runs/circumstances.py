"""In what does this machine, now, differ from that of an earlier run? Torch-free."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vctrain.runs.directory import git_state, versions


def differences(run: Mapping[str, Any]) -> list[str]:
    """A line for each thing that differs from what ``run.json`` says and that the digits of a run may depend on."""
    found = [
        f"{library} {now or 'none'} instead of {then or 'none'}"
        for library, then, now in _pairs(run.get("versions"), versions())
    ]
    found += _of_git(run.get("git"), git_state())
    host = run.get("host") if isinstance(run.get("host"), Mapping) else {}
    present = {
        "name": socket.gethostname(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    names = {"name": "host", "system": "system", "cpus": "processors", "threads": "OMP_NUM_THREADS"}
    found += [
        f"{names[key]} {'not set' if now is None else now} instead of {'not set' if then is None else then}"
        for key, then, now in _pairs(host, present)
    ]
    return found


def _pairs(then: object, now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs of what both know."""
    known = then if isinstance(then, Mapping) else {}
    return [(key, known[key], now[key]) for key in now if key in known and known[key] != now[key]]


def _of_git(then: object, now: Mapping[str, Any] | None) -> list[str]:
    if not isinstance(then, Mapping) or now is None:
        return [] if then == now else ["vctrain is under git now and was not then, or the other way round"]
    found = []
    if then.get("commit") != now.get("commit"):
        found.append(f"vctrain at commit {str(now.get('commit'))[:12]} instead of {str(then.get('commit'))[:12]}")
    if then.get("dirty") or now.get("dirty"):
        when = " and ".join(name for name, state in (("then", then), ("now", now)) if state.get("dirty"))
        found.append(f"files of vctrain that were not committed {when}: their changes are not recorded")
    return found


def same_metrics(run: Path, other: Path) -> bool:
    """Whether two runs have the same metrics.csv, byte for byte."""
    files = [folder / "metrics.csv" for folder in (run, other)]
    return all(file.is_file() for file in files) and files[0].read_bytes() == files[1].read_bytes()
