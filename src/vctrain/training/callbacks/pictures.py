"""When is a run drawn while it trains, with which weights, and what does that cost it?

A second name of a checkpoint that is there anyway, every few epochs. A process of its own draws it: nothing of the
drawing, not even matplotlib, is in this one, so that it can neither delay the steps nor end the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl

from vctrain import console
from vctrain.runs.directory import read_run
from vctrain.runs.pictures import forget_after, forget_waiting, is_due, let_wait, waiting
from vctrain.training.beside import Beside, start, until_when
from vctrain.training.callbacks.checkpoints import Checkpoints
from vctrain.training.module import TwinModule

_DRAW = "vctrain.evaluation.pictures.follow"
_WITHOUT = "the run goes on without pictures"
MOST_WAITING = 16
"""Sets of pictures that may wait: each keeps a checkpoint on the disk."""


class Pictures(pl.Callback):
    """On rank 0 every ``every`` epochs (0: never), after the validation. What fails becomes one warning.

    What a run that was cut off left waiting, it draws when it goes on; pictures of steps that it takes again are
    removed, as their rows of metrics.csv are.
    """

    def __init__(self, run_dir: Path, every: int, checkpoints: Checkpoints, rank: int) -> None:
        self.run_dir, self.checkpoints = run_dir, checkpoints
        self.every, self.rank = every, rank
        self._drawing: Beside | None = None
        self._given_up = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        if self.rank != 0:
            return
        step = trainer.global_step
        with self._one_warning():
            forget_after(self.run_dir, step, validated=pl_module.validated_step == step)
            if self.every and waiting(self.run_dir):
                self._start()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        if self.rank != 0 or self._given_up or not is_due(pl_module.finished_epoch, self.every):
            return
        if self._drawing is not None and self._drawing.failed:
            # it has said why
            self._given_up = True
            return
        step = trainer.global_step
        with self._one_warning():
            if len(waiting(self.run_dir)) >= MOST_WAITING:
                console.note(f"step {step} gets no pictures: {MOST_WAITING} sets still wait to be drawn")
                return
            let_wait(self.run_dir, step, self.checkpoints.of_this_step)
            self._start()

    def _start(self) -> None:
        if self._drawing is None:
            self._drawing = start(self.run_dir, "pictures", _DRAW, [], _WITHOUT)
            self._given_up = self._drawing is None

    @contextmanager
    def _one_warning(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._given_up = True
            console.warn(f"pictures: {error.filename or self.run_dir}: {error.strerror or error}; {_WITHOUT}")

    def close(self) -> None:
        """Have the rest drawn, and wait a while for it. What a run that can go on did not get drawn stays waiting."""
        drawn = False
        if self._drawing is not None:
            goes_on = str(read_run(self.run_dir).get("state")) != "done"
            deadline = until_when(self.run_dir)
            self._drawing.end()
            rest = f"vctrain resume {self.run_dir} draws the rest" if goes_on else "the last ones are left out"
            drawn = self._drawing.wait(deadline, f"not everything was drawn in time; {rest}") or not goes_on
        if drawn or self._given_up:
            with self._one_warning():
                forget_waiting(self.run_dir)
