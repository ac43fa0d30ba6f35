"""What happens between two steps: saving, and ending when the run is asked to."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping

from vctrain.config.schema import Settings
from vctrain.errors import PreemptedError
from vctrain.runs.stopping import StopRequest
from vctrain.training.agreement import Agreement
from vctrain.training.callbacks.checkpoints import Checkpoints
from vctrain.training.module import TwinModule


class Boundaries(pl.Callback):
    """From the first step on, signals only ask. At the next boundary of an optimizer step or a chunk of validation all
    processes save and raise PreemptedError.

    ``last.ckpt`` is written after the last step of every epoch, before its validation, which a resumed run therefore
    repeats when it was cut off.
    """

    def __init__(self, run_dir: Path, settings: Settings, checkpoints: Checkpoints, stop_at: float | None) -> None:
        self.run_dir, self.settings, self.checkpoints = run_dir, settings, checkpoints
        self.request = StopRequest(stop_at)
        minutes = settings.checkpoint.every_n_minutes
        self._every = None if minutes is None else 60.0 * minutes
        self.agreement = Agreement(lambda: self.request.reason is not None, self._is_due)
        self._listening = ExitStack()
        self._chunks_of_all = 0

    def _is_due(self) -> bool:
        return self._every is not None and time.monotonic() - self.checkpoints.written_at > self._every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        self._listening.enter_context(self.request.listening())
        self.agreement.join()
        self.checkpoints.written_at = time.monotonic()
        if pl_module.validation_is_due:
            # as Lightning's own loop does after the last batch of an epoch
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
            self.agreement.start_over()
        if trainer.global_step >= pl_module.total_steps or _is_out_of_patience(trainer):
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self.settings.trainer.accumulate:
            return
        assert isinstance(pl_module, TwinModule)
        if pl_module.skipping.failure is not None:
            self.checkpoints.save_last(trainer)
            raise pl_module.skipping.failure
        step, every = trainer.global_step, self.settings.checkpoint.every_n_steps
        decided = self.agreement.boundary()
        at_end = step % self.settings.trainer.steps_per_epoch == 0
        if at_end or decided.stop or decided.save or (every is not None and step % every == 0):
            self.checkpoints.save_last(trainer)
        if decided.stop:
            self._stop(step)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.agreement.start_over()
        loader: Any = trainer.val_dataloaders
        # the last chunks may be those of some processes only
        self._chunks_of_all = loader.n_groups // trainer.world_size

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx < self._chunks_of_all and self.agreement.boundary().stop:
            self._stop(trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.agreement.start_over()

    def _stop(self, step: int) -> None:
        why = self.request.reason or "another process was asked to"
        raise PreemptedError(
            f"stopped at step {step} ({why}); the state is saved",
            hint=f"vctrain resume {self.run_dir} continues it",
            run=str(self.run_dir),
        )

    def close(self) -> None:
        """Signals interrupt again; for when the end of the run has been recorded."""
        self._listening.close()


def _is_out_of_patience(trainer: pl.Trainer) -> bool:
    """Whether the validation at which a resumed run was cut off had ended it."""
    stopping = trainer.early_stopping_callback
    return isinstance(stopping, EarlyStopping) and stopping.wait_count >= stopping.patience
