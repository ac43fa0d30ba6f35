"""Keeping ``best.ckpt`` beside the numbered checkpoints: always the best of them, under a name that does not
change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class BestLink(pl.Callback):
    """Hard-links ``best.ckpt`` to the best checkpoint after each validation (Lightning runs checkpoint callbacks
    last, so the file is linked when the next epoch starts, and once more at the end)."""

    def __init__(self, best: ModelCheckpoint, rank: int) -> None:
        self.best = best
        self.rank = rank
        self.linked = ""

    def _link(self) -> None:
        source = Path(self.best.best_model_path)
        if self.rank != 0 or not self.best.best_model_path or str(source) == self.linked:
            return
        fresh = source.with_name("best.ckpt.new")
        fresh.unlink(missing_ok=True)
        try:
            os.link(source, fresh)
        except OSError:  # file systems without hard links
            shutil.copyfile(source, fresh)
        os.replace(fresh, source.with_name("best.ckpt"))
        self.linked = str(source)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._link()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._link()
