"""How many steps fit into a given time? Measured once, on real batches, before the run begins."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.seed import isolate_rng

from vctrain import console
from vctrain.config.schema import Settings
from vctrain.errors import UsageError
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.training.engine import build_trainer, world
from vctrain.training.loaders import training_loader, validation_loader
from vctrain.training.module import TwinModule
from vctrain.training.prepare import Prepared, prepare


@dataclass(frozen=True)
class Sample:
    """How much is measured: steps after those that warm up, and chunks of validation."""

    warm_up: int = 3
    steps: int = 12
    chunks: int = 8


THOROUGH, BRIEF = Sample(), Sample(1, 2, 2)
_USED = 0.97
"""Of the time; the rest is for checkpoints."""
SOURCE = "fitted to max_minutes"


class _Timer(pl.Callback):
    """Seconds of each optimizer step and of a frame of validation, those of rank 0 on all processes; ``frames`` are
    those that each chunk of this process reads."""

    def __init__(self, accumulate: int, warm_up: int, frames: Sequence[int]) -> None:
        self._accumulate, self._warm_up, self._frames = accumulate, warm_up, frames
        self._steps: list[float] = []
        self._chunks: list[float] = []
        self._last: float | None = None
        self.seconds = (0.0, 0.0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % self._accumulate == 0:
            # what a GPU is still working on belongs to this step
            float(outputs["loss"])
            self._steps.append(self._since())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = time.perf_counter()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *found: Any) -> None:
        self._chunks.append(self._since() / self._frames[len(self._chunks)])

    def _since(self) -> float:
        now = time.perf_counter()
        before, self._last = self._last, now
        return now - (now if before is None else before)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = statistics.mean(self._steps[self._warm_up :])
        frame = statistics.median(self._chunks)
        self.seconds = trainer.strategy.broadcast((step, frame))


def measure(settings: Settings, prepared: Prepared, sample: Sample = THOROUGH) -> tuple[float, float]:
    """Seconds of one optimizer step and of one whole validation with these settings, on a copy of the twin."""
    rank, world_size = world()
    accumulate, steps = settings.trainer.accumulate, sample.warm_up + sample.steps
    short = settings.trainer.model_copy(update={"max_epochs": 1, "steps_per_epoch": steps})
    twin = copy.deepcopy(prepared.twin)
    val_loader = validation_loader(prepared.sessions, "val", twin, rank, world_size, pin_memory=prepared.pin_memory)
    frames = [val_loader.context + val_loader.frames_of(group) for group in range(val_loader.n_groups)]
    timer = _Timer(accumulate, sample.warm_up, frames[rank::world_size])
    trainer = build_trainer(
        accelerator=prepared.accelerator,
        devices=settings.trainer.devices,
        nodes=settings.trainer.nodes,
        precision=settings.trainer.precision,
        callbacks=[timer],
        max_epochs=1,
        limit_train_batches=steps * accumulate,
        limit_val_batches=sample.chunks,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=settings.optim.grad_clip or None,
        enable_checkpointing=False,
    )
    shortened = settings.model_copy(update={"trainer": short})
    prepared.hold_movies(settings)
    loader = training_loader(shortened, prepared, rank, lambda: 0)
    module = TwinModule(twin, shortened, {})
    # The run itself begins with the random numbers that it would have without having been measured.
    with isolate_rng():
        trainer.fit(module, train_dataloaders=loader, val_dataloaders=val_loader)
    step, frame = timer.seconds
    return step, frame * max(sum(frames[first::world_size]) for first in range(world_size))


def measure_rank(settings: dict[str, Any]) -> dict[str, Any]:
    """`measure` as one of several processes."""
    chosen = Settings.model_validate(settings)
    prepared = prepare(chosen, chosen.trainer.devices * chosen.trainer.nodes)
    step, validation = measure(chosen, prepared)
    return {"step": step, "validation": validation}


def epochs_and_steps(seconds: float, step: float, validation: float, steps_per_epoch: int) -> tuple[int, int]:
    """How many epochs of how many steps, each with its validation, fill ``seconds``; epochs stay about as long as
    ``steps_per_epoch``.

    >>> epochs_and_steps(1000.0, 1.0, 10.0, 90)
    (10, 87)
    """
    usable = _USED * seconds
    epochs = max(round(usable / (steps_per_epoch * step + validation)), 1)
    return epochs, int((usable / epochs - validation) / step)


def fitted(settings: Settings, prepared: Prepared) -> Settings:
    """The settings with ``max_epochs`` and ``steps_per_epoch`` that fill ``trainer.max_minutes``; as they are where
    that is not set, or was measured before.

    UsageError if not even one step and one validation fit.
    """
    trainer = settings.trainer
    if trainer.max_minutes is None or trainer.measured_step_seconds is not None:
        return settings
    processes = trainer.devices * trainer.nodes
    steps = THOROUGH.warm_up + THOROUGH.steps
    console.note(f"measuring the speed of {steps} steps, for a run of {trainer.max_minutes:g} minutes")
    if processes > 1 and not launched_externally():
        found = run_ranks(
            "vctrain.training.budget:measure_rank", {"settings": settings.model_dump(mode="json")}, processes
        )
        step, validation = found["step"], found["validation"]
    else:
        step, validation = measure(settings, prepared)
    epochs, steps = epochs_and_steps(60.0 * trainer.max_minutes, step, validation, trainer.steps_per_epoch)
    if steps < 1:
        raise UsageError(
            f"trainer.max_minutes {trainer.max_minutes:g}: a validation takes {validation:.0f} s and a step {step:.1f} "
            "s, so that not one epoch fits",
            hint="give it more time, fewer sessions, or a smaller model",
        )
    console.note(f"{1000 * step:.0f} ms a step, {validation:.1f} s a validation: {epochs} epochs of {steps} steps")
    update = {"max_epochs": epochs, "steps_per_epoch": steps, "measured_step_seconds": step}
    return settings.model_copy(update={"trainer": trainer.model_copy(update=update)})
