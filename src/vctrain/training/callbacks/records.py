"""What a run writes down and shows while it trains: metrics.csv, events.jsonl, progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from vctrain import console
from vctrain.errors import NumericsError
from vctrain.runs import directory
from vctrain.runs.metrics_file import MetricsFile
from vctrain.training.module import TwinModule, ValidationResult


class Records(pl.Callback):
    """Rank 0 writes one row of metrics.csv and one event a validation, and shows progress; every rank keeps the best
    result."""

    def __init__(self, run_dir: Path, total_steps: int, rank: int) -> None:
        self.run_dir, self.total_steps, self.rank = run_dir, total_steps, rank
        self._best: ValidationResult | None = None
        self.progress = console.TrainingProgress()
        self.metrics = MetricsFile(run_dir)
        self.started = 0.0

    @property
    def best(self) -> ValidationResult:
        """The validation with the highest val_bps_overall so far."""
        if self._best is None:
            raise NumericsError("the run ended before its first validation", hint="raise trainer.max_epochs")
        return self._best

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.monotonic()
        if self.rank == 0:
            directory.update_run(self.run_dir, state="running")
            self.progress.start(self.total_steps, "training")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.rank == 0:
            shown = {} if self._best is None else {"best val_bps": f"{self._best.bps_overall:.4f}"}
            self.progress.step(trainer.global_step, shown)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        loss = pl_module.take_mean_loss()
        result = pl_module.results
        if result is None or result.bps_overall is None:
            return
        if self._best is None or result.bps_overall > (self._best.bps_overall or -float("inf")):
            self._best = result
        if self.rank != 0:
            return
        row: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "lr": trainer.optimizers[0].param_groups[-1]["lr"],
            "train_loss": loss,
            "val_bps_overall": result.bps_overall,
            "fraction_of_oracle": result.fraction_of_oracle,
            **{f"val_bps/{name}": value for name, value in result.by_session.items()},
        }
        self.metrics.append(row)
        seconds = round(time.monotonic() - self.started, 1)
        directory.append_event(self.run_dir, "validated", seconds=seconds, **row)
        directory.update_run(self.run_dir, best_score=self.best.bps_overall, step=trainer.global_step)
        oracle = "" if result.fraction_of_oracle is None else f"  {result.fraction_of_oracle:.1%} of the oracle"
        self.progress.line(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {trainer.global_step}  "
            f"{seconds:.0f} s  train_loss {loss:.4f}  val_bps_overall {result.bps_overall:.4f}{oracle}"
        )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.rank == 0:
            self.progress.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rank == 0:
            self.progress.stop()
