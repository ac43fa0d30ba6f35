"""Who waits for what, when a run stands still?"""

from __future__ import annotations

import threading
import time
from typing import Any

import lightning.pytorch as pl

from vctrain import console

QUIET_SECONDS = 60.0
"""Standing still for so long is worth a line, from each process, and again whenever the time has doubled."""
_LOOK_SECONDS = 2.0


class Watchdog(pl.Callback):
    """Every process says what it has been doing, when that takes long: one that waits for gradients waits for a process
    that says something else."""

    def __init__(self, rank: int, processes: int, quiet_seconds: float = QUIET_SECONDS) -> None:
        self.rank, self.processes, self.quiet_seconds = rank, processes, quiet_seconds
        self._doing, self._since, self._said = "starting", time.monotonic(), quiet_seconds
        self._step = 0
        self._ended = threading.Event()

    @property
    def place(self) -> str:
        """Where this process is, in words."""
        return f"rank {self.rank} of {self.processes}, step {self._step}: {self._doing}"

    def now(self, doing: str, step: int | None = None) -> None:
        """From now on this process is ``doing`` something else."""
        self._doing, self._since, self._said = doing, time.monotonic(), self.quiet_seconds
        self._step = self._step if step is None else step

    def look(self) -> str | None:
        """A line if this process has stood still for too long."""
        still = time.monotonic() - self._since
        if still < self._said:
            return None
        self._said = 2 * still
        return f"{self.place} for {still:.0f} s"

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if (line := self.look()) is not None:
                console.from_any_rank(line)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.now("waiting for all processes to join")
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.now("waiting for its first batch", trainer.global_step)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.now("computing rates", trainer.global_step)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        self.now("computing gradients" if self.processes == 1 else "waiting for the gradients of all processes")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.now("waiting for its next batch, or saving", trainer.global_step)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.now(f"validating chunk {batch_idx}")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.now("waiting for the sums of all processes")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.now("writing figures and checkpoints, or waiting for that")
