"""Who shows the records of a run elsewhere while it trains, and can they disturb it? Processes of their own: no."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from vctrain import console
from vctrain.config.schema import LoggingConfig
from vctrain.runs.directory import read_run

PATIENCE = {"done": 60.0}
"""Seconds that a run which ended so waits for what is still on its way; any other, which may have to make room in
seconds, `HURRIED`."""
HURRIED = 5.0
_FOLLOW = "vctrain.evaluation.mirror.follow"


class Mirrors:
    """One process for each place where ``asked`` wants the run shown; started on rank 0 only.

    A process that fails becomes one warning, whenever that is.
    """

    def __init__(self, run_dir: Path, asked: LoggingConfig) -> None:
        self.run_dir = run_dir
        sinks = {"online": ["wandb"], "offline": ["wandb-offline"], "off": []}[asked.wandb]
        self._followers = [_Follower(run_dir, to) for to in (*sinks, *["tensorboard"] * asked.tensorboard)]

    def close(self) -> None:
        """Tell them that the run has ended, and wait a while for them."""
        if not self._followers:
            return
        seconds = PATIENCE.get(str(read_run(self.run_dir).get("state")), HURRIED)
        for follower in self._followers:
            follower.end()
        deadline = time.monotonic() + seconds
        for follower in self._followers:
            follower.wait(deadline)


class _Follower:
    def __init__(self, run_dir: Path, to: str) -> None:
        self.run_dir, self.to, self._given_up = run_dir, to, False
        self._log = run_dir / f"{to}.log"
        # whose processes these variables describe are the training's
        distributed = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        environment = {name: value for name, value in os.environ.items() if name not in distributed}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", _FOLLOW, str(run_dir), to],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._watching = threading.Thread(target=self._watch, name=f"{to}-watch", daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        code = self.process.wait()
        if code and not self._given_up:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {code}"
            console.warn(f"{self.to}: {said}; the run does not need it. Later: vctrain sync {self.run_dir}")

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, deadline: float) -> None:
        self._watching.join(max(0.0, deadline - time.monotonic()))
        if self._watching.is_alive():
            self._given_up = True
            self.process.kill()
            console.warn(f"{self.to}: not everything arrived in time; vctrain sync {self.run_dir} shows the rest")
