"""What a run writes down and shows while it trains: metrics.csv, events.jsonl, progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from vctrain.config.schema import Settings
from vctrain.data.curriculum import alpha
from vctrain.errors import NumericsError
from vctrain.progress import TrainingProgress
from vctrain.runs import directory
from vctrain.runs.metrics_file import MetricsFile
from vctrain.training.callbacks.pace import Pace
from vctrain.training.hardware import EnergyMeter
from vctrain.training.module import TwinModule
from vctrain.training.validation import Scores


class Records(pl.Callback):
    """Rank 0 writes one row of metrics.csv and one event a validation, and shows progress; every rank keeps the best
    result."""

    def __init__(
        self, run_dir: Path, settings: Settings, subjects: Sequence[str], rank: int, pace: Pace, energy: EnergyMeter
    ) -> None:
        self.run_dir, self.rank, self.subjects = run_dir, rank, tuple(subjects)
        self.total_steps = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
        self.max_epochs = settings.trainer.max_epochs
        self.curriculum = settings.data.curriculum
        self._best: Scores | None = None
        self.pace, self.energy = pace, energy
        self.progress = TrainingProgress()
        self.metrics = MetricsFile(run_dir)
        self.started = 0.0
        self._shown: dict[str, str] = {}
        self._curves: dict[str, list[float]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"best": None if self._best is None else self._best.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = state_dict["best"]
        self._best = None if best is None else Scores(**best)

    @property
    def best(self) -> Scores:
        """The validation with the highest val_bps_overall so far. Raises NumericsError before the first."""
        if self._best is None:
            raise NumericsError("the run ended before its first validation", hint="raise trainer.max_epochs")
        return self._best

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.monotonic()
        if self.rank == 0:
            self.progress.start(self.total_steps, "training")
            for row in self.metrics.rows():
                self._draw({name: float(cell) for name, cell in row.items() if name.startswith("val_bps") and cell})

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.rank == 0:
            self.progress.step(trainer.global_step, self._shown)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        means = pl_module.take_means()
        loss = means["train_loss"]
        result = pl_module.results
        if result is None or result.bps_overall is None:
            return
        if self._best is None or result.bps_overall > self._best.bps_overall:
            self._best = Scores.of(result)
        if self.rank != 0:
            return
        row: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": pl_module.finished_epoch,
            "lr": trainer.optimizers[0].param_groups[-1]["lr"],
            "train_loss": loss,
            "val_bps_overall": result.bps_overall,
            "fraction_of_oracle": result.fraction_of_oracle,
            **{f"val_bps/{name}": value for name, value in result.by_session.items()},
        }
        # a penalty that is switched off has a column too
        row |= {f"penalty/{e.regularizer.name}": 0.0 for e in pl_module.regularized if e.is_penalty}
        row |= {name: value for name, value in means.items() if name != "train_loss"}
        if self.curriculum is not None:
            row["curriculum_alpha"] = 1.0 if (now := alpha(trainer.global_step, self.curriculum)) is None else now
        self.metrics.append(row)
        seconds = round(time.monotonic() - self.started, 1)
        seen = self._shares(pl_module.twin.names, pl_module.take_seen_frames())
        pace = self.pace.take(seen["train_frames"])
        if (energy := self.energy.take()) is not None:
            seen["energy_wh"] = energy
        directory.append_event(self.run_dir, "validated", seconds=seconds, **row, **seen, **pace)
        directory.update_run(self.run_dir, best_score=self.best.bps_overall, step=trainer.global_step)
        self._shown = {"loss": f"{loss:.4f}", "best val_bps": f"{self.best.bps_overall:.4f}"}
        if "data_wait" in pace:
            self._shown["waiting for data"] = f"{pace['data_wait']:.0%}"
        self._draw({name: value for name, value in row.items() if name.startswith("val_bps") and value is not None})
        oracle = "" if result.fraction_of_oracle is None else f"  {result.fraction_of_oracle:.1%} of the oracle"
        self.progress.line(
            f"epoch {pl_module.finished_epoch + 1}/{self.max_epochs}  step {trainer.global_step}  "
            f"{seconds:.0f} s  train_loss {loss:.4f}  val_bps_overall {result.bps_overall:.4f}{oracle}"
        )

    def _draw(self, scores: Mapping[str, float]) -> None:
        """Add a validation to the curves that are shown."""
        for name, value in scores.items():
            self._curves.setdefault(name.removeprefix("val_bps/"), []).append(value)
        self.progress.curves(self._curves)

    def _shares(self, names: Sequence[str], frames: Sequence[float]) -> dict[str, Any]:
        """The realised shares of sessions and subjects among the training frames scored since the last validation."""
        total = sum(frames) or 1.0
        by_subject: dict[str, float] = {}
        for subject, n in zip(self.subjects, frames, strict=True):
            by_subject[subject] = by_subject.get(subject, 0.0) + n / total
        return {
            "train_frames": round(sum(frames)),
            "session_shares": {name: n / total for name, n in zip(names, frames, strict=True)},
            "subject_shares": by_subject,
        }

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.rank == 0:
            self.progress.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self.rank == 0:
            self.progress.stop()
