"""How does a test do what a page says, in a shell of its own, as somebody with nothing but the pages would?"""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from readme.readme_commands import README, shell_lines

import vctrain

DOCS = README.parent / "docs"
_LAUNCHER = re.compile(r"^(RANK|WORLD_SIZE|LOCAL_RANK|MASTER_\w+|SLURM_\w+|VCTRAIN_\w+)$")
_BLOCK = re.compile(r"^```(\w+)\n(?:# (\S+)\n)?(.*?)^```", re.MULTILINE | re.DOTALL)


def section(page: Path, heading: str) -> str:
    """What stands below ``heading`` on a page, as far as the next heading that is no deeper."""
    text = page.read_text(encoding="utf-8")
    # a comment in a block of code is no heading
    prose = re.sub(r"^```.*?^```", lambda block: re.sub(r"[^\n]", " ", block[0]), text, flags=re.MULTILINE | re.DOTALL)
    start = re.search(rf"^(#+) {re.escape(heading)}$", prose, re.MULTILINE)
    assert start, f"{page.name} has no heading {heading!r}"
    following = re.compile(rf"^#{{1,{len(start[1])}}} ", re.MULTILINE).search(prose, start.end())
    return text[start.end() : following.start() if following else None]


def lines_of(page: Path, heading: str) -> list[str]:
    """The command lines below a heading; there is one at least."""
    found = shell_lines(section(page, heading))
    assert found, f"{page.name}: nothing to type below {heading!r}"
    return found


def files_of(page: Path, heading: str) -> dict[str, str]:
    """The files below a heading: fenced blocks whose first line is ``# path``."""
    return {name: body for _, name, body in _BLOCK.findall(section(page, heading)) if name}


def _cpu_seconds() -> float:
    """Of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Walker:
    """A folder, and a shell in it that knows the vctrain of ``source`` (this one) as ``vctrain``."""

    def __init__(self, folder: Path, source: Path | None = None) -> None:
        self.folder = folder
        self._began, self._worked = time.monotonic(), _cpu_seconds()
        kept = {name: value for name, value in os.environ.items() if not _LAUNCHER.match(name)}
        self.environment = kept | {
            "PATH": f"{self._commands()}:{Path(sys.executable).parent}:{kept['PATH']}",
            "PYTHONPATH": str(source or Path(vctrain.__file__).parents[1]),
            "VCTRAIN_CACHE": str(folder / "cache"),
        }

    def _commands(self) -> Path:
        """A folder with the one command ``vctrain``: that of this Python and this source."""
        commands = self.folder / "bin"
        commands.mkdir()
        script = commands / "vctrain"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vctrain "$@"\n')
        script.chmod(0o755)
        return commands

    def seconds(self) -> float:
        """Since the walk began."""
        return time.monotonic() - self._began

    def seconds_alone(self) -> float:
        """What the walk would have taken at most with the machine for itself: the time of one core, where that is less
        than the time that went by."""
        return min(self.seconds(), _cpu_seconds() - self._worked)

    def write(self, files: dict[str, str]) -> None:
        """What a page shows as files."""
        for name, body in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")

    def type(self, line: str, *, limit: float = 900) -> str:
        """Run a line as bash does; what it prints. An exit code other than 0 fails the test with all that was said."""
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=limit, check=False,
        )  # fmt: skip
        print(f"{time.monotonic() - began:6.1f} s  {line}")
        assert done.returncode == 0, f"{line}\nexit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def asked(self, line: str, **more: float) -> dict[str, Any]:
        """The one object of a line with ``--json``, whether the page shows it with or without."""
        found: dict[str, Any] = json.loads(self.type(line if "--json" in line else f"{line} --json", **more))
        assert found["ok"] is True
        return found
