"""How fast do steps follow each other, and how long do they wait for their clips?"""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl


class Pace(pl.Callback):
    """Time between the ends of batches, without validations and saving, and the part of it before each batch came."""

    def __init__(self) -> None:
        self._ended: float | None = None
        self._waited, self._whole, self._batches = 0.0, 0.0, 0
        self._begun = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._begun = time.perf_counter()
        if self._ended is not None:
            self._waited += self._begun - self._ended

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._ended is not None:
            self._whole += now - self._ended
            self._batches += 1
        self._ended = now

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._ended = None

    def take(self, frames: float) -> dict[str, float]:
        """Since the last time: seconds a batch, share of it waiting for clips, scored ``frames`` a second.

        Empty before the second batch after a validation.
        """
        if not self._batches:
            return {}
        found = {
            "step_seconds": self._whole / self._batches,
            "data_wait": self._waited / self._whole,
            "frames_per_second": frames / (self._whole * (self._batches + 1) / self._batches),
        }
        self._waited, self._whole, self._batches = 0.0, 0.0, 0
        return found
