"""How long a command takes and how much anonymous memory it and its children hold at most."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Measured:
    """Wall-clock seconds, peak RssAnon summed over the process tree in MB, and the command's JSON object."""

    seconds: float
    peak_anon_mb: float
    output: dict[str, Any]


def _children(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread ended between listing and reading
            continue
        found.extend(grandchild for child in children for grandchild in _children(int(child)))
    return found


def anonymous_mb(pid: int) -> float:
    """RssAnon of a process and its descendants, in MB; mapped files do not count (Linux)."""
    total = 0
    for member in _children(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text()
        except OSError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
    return total / 1024


def run_measured(arguments: list[str], environment: dict[str, str] | None = None) -> Measured:
    """Run ``vctrain ARGUMENTS --json``; raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "vctrain", *arguments, "--json"]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    peak, done = [0.0], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], anonymous_mb(process.pid))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    output, _ = process.communicate()
    done.set()
    sampler.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Measured(round(time.monotonic() - started, 1), round(peak[0], 1), json.loads(output))
