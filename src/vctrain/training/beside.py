"""How does a process run beside the training without reaching it: its start, its end, and word of it if it fails?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from vctrain import console
from vctrain.runs.directory import read_run

PATIENCE = {"done": 60.0}
"""Seconds that a run which ended so waits for what is still on its way; any other, which may have to make room in
seconds, `HURRIED`."""
HURRIED = 5.0
_OF_THE_TRAINING = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def until_when(run_dir: Path) -> float:
    """Up to when (`time.monotonic`) a run that has ended waits for what is beside it."""
    return time.monotonic() + PATIENCE.get(str(read_run(run_dir).get("state")), HURRIED)


def start(run_dir: Path, name: str, module: str, arguments: Sequence[str], afterwards: str) -> Beside | None:
    """The process; None, with a warning, where the machine has none to give."""
    try:
        return Beside(run_dir, name, module, arguments, afterwards)
    except OSError as error:
        console.warn(f"{name}: {error.strerror or error}; {afterwards}")
        return None


class Beside:
    """``python -m MODULE RUN ARGUMENTS`` with ``NAME.log`` in the run directory, until `end`.

    If it fails, its last words become one warning, whenever that is; ``afterwards`` says what to do. Raises OSError if
    it cannot be started.
    """

    def __init__(self, run_dir: Path, name: str, module: str, arguments: Sequence[str], afterwards: str) -> None:
        self.name, self.afterwards, self._given_up = name, afterwards, False
        self._log = run_dir / f"{name}.log"
        environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_TRAINING}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(run_dir), *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # the processors are the training's
                env={**environment, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self._watching = threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True)
        self._watching.start()

    @property
    def failed(self) -> bool:
        """Whether it has ended by itself, and not well."""
        return bool(self.process.poll()) and not self._given_up

    def _watch(self) -> None:
        code = self.process.wait()
        if code and not self._given_up:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {code}"
            console.warn(f"{self.name}: {said}; {self.afterwards}")

    def end(self) -> None:
        """Tell it that the training has ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, deadline: float, late: str) -> bool:
        """Whether it ended until ``deadline`` (`time.monotonic`); if not, it is killed and ``late`` is said."""
        self._watching.join(max(0.0, deadline - time.monotonic()))
        if not self._watching.is_alive():
            return True
        self._given_up = True
        self.process.kill()
        console.warn(f"{self.name}: {late}")
        return False
