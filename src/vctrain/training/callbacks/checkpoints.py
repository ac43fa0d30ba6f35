"""Which checkpoints does a run keep: the last, the one before it, and the best, on disk at every moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from vctrain.runs.checkpoint_files import BEST, LAST, PREVIOUS, keep_previous, link_or_copy
from vctrain.training.module import TwinModule


class Checkpoints(Checkpoint):
    """Writes ``last.ckpt`` when it is told to, and after each validation that is among the best
    ``epoch=...-val_bps_overall=....ckpt``, with ``best.ckpt`` as another name of the best of these.

    Lightning calls it after all other callbacks. The list of the best is part of every checkpoint. ``going_on`` is the
    checkpoint from which a resumed run goes on.
    """

    def __init__(self, run_dir: Path, keep_best: int, rank: int, going_on: Path | None = None) -> None:
        self.folder, self.keep_best, self.rank = run_dir / "checkpoints", keep_best, rank
        self.best: list[tuple[float, str]] = []
        """Scores and file names, best first."""
        self.written_at = time.monotonic()
        self.of_this_step = going_on or self.folder / LAST
        """While a validation lasts, and until the next step: the checkpoint of the weights that it is of."""

    def state_dict(self) -> dict[str, Any]:
        return {"best": [[score, name] for score, name in self.best]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = [(float(score), str(name)) for score, name in state_dict["best"]]

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write ``last.ckpt``; what it was is ``previous.ckpt`` from then on. To be called on all processes."""
        if self.rank == 0:
            keep_previous(self.folder)
        trainer.save_checkpoint(self.folder / LAST)
        self.of_this_step = self.folder / LAST
        self.written_at = time.monotonic()

    def save_final(self, trainer: pl.Trainer) -> None:
        """The last ``last.ckpt`` of a run, which needs no other beside it."""
        self.save_last(trainer)
        if self.rank == 0:
            (self.folder / PREVIOUS).unlink(missing_ok=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The files are those that the checkpoint lists: a process that was killed may have left one more, or
        ``best.ckpt`` as a name of another."""
        if self.rank != 0:
            return
        kept = {name for _, name in self.best}
        for path in self.folder.glob("epoch=*-val_bps_overall=*.ckpt"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
        if not self.best:
            (self.folder / BEST).unlink(missing_ok=True)
        elif (best := self.folder / self.best[0][1]).exists():
            self._name_best(best)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TwinModule)
        result = pl_module.results
        if result is None or result.bps_overall is None:
            return
        name = f"epoch={pl_module.finished_epoch:02d}-val_bps_overall={result.bps_overall:.4f}.ckpt"
        ranked = sorted([*self.best, (result.bps_overall, name)], key=lambda entry: -entry[0])
        self.best, dropped = ranked[: self.keep_best], ranked[self.keep_best :]
        if (result.bps_overall, name) not in self.best:
            return
        trainer.save_checkpoint(self.folder / name)
        if self.rank != 0:
            return
        if self.best[0][1] == name:
            self._name_best(self.folder / name)
        for _, old in dropped:
            (self.folder / old).unlink(missing_ok=True)

    def _name_best(self, source: Path) -> None:
        fresh = self.folder / f".{BEST}.part"
        link_or_copy(source, fresh)
        fresh.replace(self.folder / BEST)
        # a rename does nothing between two names of one file
        fresh.unlink(missing_ok=True)
