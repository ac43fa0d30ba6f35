"""One training run, from settings to a run directory with a checkpoint and exact bits per spike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging

from vctrain import console
from vctrain.config.model import ModelConfig
from vctrain.config.resolve import read_settings
from vctrain.config.schema import Settings, StartConfig
from vctrain.errors import PreemptedError, UsageError
from vctrain.runs import directory
from vctrain.runs.checkpoint_files import BEST
from vctrain.runs.checkpoints import Checkpoint, content, read_checkpoint
from vctrain.runs.cost import cost_of
from vctrain.runs.events import read_events
from vctrain.runs.metrics_file import MetricsFile
from vctrain.runs.stopping import stop_time
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.training.allocator import keep_freed_memory
from vctrain.training.beginning import before_first_step, taken
from vctrain.training.budget import SOURCE, fitted
from vctrain.training.callbacks.boundaries import Boundaries
from vctrain.training.callbacks.checkpoints import Checkpoints
from vctrain.training.callbacks.pace import Pace
from vctrain.training.callbacks.pictures import Pictures
from vctrain.training.callbacks.records import Records
from vctrain.training.callbacks.watchdog import Watchdog
from vctrain.training.engine import build_trainer, leave, world
from vctrain.training.faults import as_faults, faults_named
from vctrain.training.features import fill
from vctrain.training.freezing import check_unchanged
from vctrain.training.hardware import EnergyMeter, hardware
from vctrain.training.loaders import training_loader, validation_loader
from vctrain.training.mirrors import Mirrors
from vctrain.training.module import TwinModule
from vctrain.training.prepare import Prepared, prepare
from vctrain.training.recording import keeps_records, note_sessions, owned
from vctrain.training.starting import model_of
from vctrain.training.validation import Scores


def train(
    settings: Settings,
    *,
    run_dir: Path,
    provenance: Mapping[str, str],
    argv: Sequence[str],
    accept: Callable[[Prepared], None] | None = None,
) -> dict[str, Any]:
    """Train as ``settings`` say and return the figures of `train --json` (without ``ok`` and ``command``).

    The run directory is created only after recordings, model and batch composition were accepted, and ``accept`` raised
    nothing. Raises PreemptedError
    when the run was asked to stop and has saved its state.
    """
    settings = with_absolute_paths(settings)
    prepared = prepare(settings, settings.trainer.devices * settings.trainer.nodes)
    if accept is not None:
        accept(prepared)
    settings, provenance = _fitted(settings, provenance, prepared)
    if keeps_records():
        directory.create_run_dir(run_dir, settings, provenance, argv)
        directory.write_contract(run_dir, [session.describe() for session in prepared.sessions])
    with owned(run_dir) as afterwards:
        return carry_out(settings, prepared, run_dir, afterwards)


def _fitted(
    settings: Settings, provenance: Mapping[str, str], prepared: Prepared
) -> tuple[Settings, Mapping[str, str]]:
    """`budget.fitted`, and where the numbers come from."""
    with as_faults(lambda: "measuring the speed of steps", None):
        chosen = fitted(settings, prepared)
    if chosen is settings:
        return settings, provenance
    names = ("max_epochs", "steps_per_epoch", "measured_step_seconds")
    return chosen, {**provenance, **{f"trainer.{name}": SOURCE for name in names}}


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings with paths that hold in every working directory: a checkpoint is evaluated from anywhere."""

    def absolute(path: str | None) -> str | None:
        return None if path is None else str(Path(path).expanduser().absolute())

    data = settings.data.model_copy(update={"path": absolute(settings.data.path), "root": absolute(settings.data.root)})
    start = settings.start.model_copy(update={"checkpoint": absolute(settings.start.checkpoint)})
    return settings.model_copy(update={"data": data, "start": start})


def train_from_scratch(
    settings: Settings, *, run_dir: Path, provenance: Mapping[str, str], argv: Sequence[str]
) -> dict[str, Any]:
    """The same as `train` without the checkpoint that ``settings.start`` names: its model, the same data and steps.

    Raises UsageError for a legacy model.
    """
    assert settings.start.checkpoint is not None
    model = model_of(settings, read_checkpoint(settings.start.checkpoint))
    if not isinstance(model, ModelConfig):
        raise UsageError(
            "--compare-scratch: a legacy model cannot be trained from scratch",
            hint="choose a current model with --set model=NAME",
        )
    anew = settings.model_copy(update={"model": model, "start": StartConfig()})
    return train(anew, run_dir=run_dir, provenance=provenance, argv=argv)


def train_rank(run_dir: str, checkpoint: str | None) -> dict[str, Any]:
    """One rank of a run whose directory exists: its settings are those of the directory's config.yaml."""
    folder = Path(run_dir)
    settings = read_settings(folder / "config.yaml")
    going_on = None if checkpoint is None else read_checkpoint(checkpoint)
    prepared = prepare(settings, settings.trainer.devices * settings.trainer.nodes, going_on)
    with owned(folder) as afterwards:
        return carry_out(settings, prepared, folder, afterwards)


def carry_out(settings: Settings, prepared: Prepared, run_dir: Path, afterwards: ExitStack) -> dict[str, Any]:
    """The run in this process, or in one process a device when this one was asked for several.

    ``afterwards`` is that of `owned`.
    """
    processes = settings.trainer.devices * settings.trainer.nodes
    if processes > 1 and not launched_externally():
        going_on = None if prepared.going_on is None else str(prepared.going_on.path)
        del prepared
        return run_ranks(
            "vctrain.training.fit:train_rank", {"run_dir": str(run_dir), "checkpoint": going_on}, processes
        )
    if world()[0] == 0:
        console.log_to(run_dir / "run.log")
        note_sessions(settings, prepared, run_dir)
    return _run(settings, prepared, run_dir, afterwards)


def _run(settings: Settings, prepared: Prepared, run_dir: Path, afterwards: ExitStack) -> dict[str, Any]:
    """Fit on this rank; rank 0 keeps the records."""
    rank, world_size = world()
    started = time.monotonic()
    keep_freed_memory()
    sessions, twin, going_on = prepared.sessions, prepared.twin, prepared.going_on
    if rank == 0 and going_on is None:
        # DDP broadcasts rank 0's weights when it wraps the twin, so the other ranks need not read the frames again.
        before_first_step(settings, prepared, run_dir)
    if rank == 0:
        _begin_records(run_dir, going_on)
    stored = content(settings, [session.describe() for session in sessions], twin.context, prepared.own_model)
    stored |= {"start": prepared.begun}
    module = TwinModule(twin, settings, stored)
    accumulate, per_epoch = settings.trainer.accumulate, settings.trainer.steps_per_epoch
    path = None if going_on is None else going_on.path
    checkpoints = Checkpoints(run_dir, settings.checkpoint.keep_best, rank, path)
    pictures = Pictures(run_dir, settings.logging.plots_every, checkpoints, rank)
    boundaries = Boundaries(run_dir, settings, checkpoints, stop_time())
    on = prepared.accelerator, settings.trainer.devices, settings.trainer.nodes
    energy = EnergyMeter(prepared.accelerator, settings.trainer.devices)
    records = Records(run_dir, settings, [session.subject for session in sessions], rank, Pace(), energy)
    watchdog = Watchdog(rank, world_size)
    at_end = going_on is not None and (going_on.step or 0) >= module.total_steps
    trainer = build_trainer(
        accelerator=prepared.accelerator,
        devices=settings.trainer.devices,
        nodes=settings.trainer.nodes,
        precision=settings.trainer.precision,
        silence_minutes=settings.trainer.silence_minutes,
        callbacks=_callbacks(settings, watchdog, records.pace, records, pictures, boundaries, checkpoints),
        # Lightning would not even begin a run without steps left, and its last validation may be missing.
        max_epochs=settings.trainer.max_epochs + at_end,
        limit_train_batches=per_epoch * accumulate,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=settings.optim.grad_clip or None,
        default_root_dir=str(run_dir),
    )
    movies = prepared.hold_movies(settings)
    kept = {} if prepared.features is None else fill(prepared.features, twin, sessions, rank, world_size)
    train_loader = training_loader(settings, prepared, rank, lambda: trainer.global_step, kept)
    val_loader = validation_loader(
        sessions, "val", twin, rank, world_size, features=kept, pin_memory=prepared.pin_memory
    )
    if rank == 0:
        directory.update_run(run_dir, hardware=hardware(*on), movies=movies)
        afterwards.callback(_note_cost, run_dir, settings.trainer.devices * settings.trainer.nodes)
        afterwards.callback(Mirrors(run_dir, settings.logging).close)
        # before them: they show what is drawn last, too
        afterwards.callback(pictures.close)
    afterwards.callback(boundaries.close)
    with faults_named(settings, prepared, run_dir, watchdog), closing(watchdog):
        try:
            trainer.fit(
                module,
                train_dataloaders=train_loader,
                val_dataloaders=val_loader,
                ckpt_path=None if path is None else str(path),
            )
        except PreemptedError:
            leave()
            raise
        checkpoints.save_final(trainer)
        leave()
        if prepared.begun is not None:
            check_unchanged(twin, prepared.begun["frozen"], prepared.begun["digest"])
        return _finish(trainer.global_step, records.best, run_dir, started, rank) | taken(prepared)


def _note_cost(run_dir: Path, devices: int) -> None:
    # where ranks were started by a command, that writes down their end after them
    directory.update_run(run_dir, cost=cost_of(read_events(run_dir)[0], devices, until=time.time()))


def _begin_records(run_dir: Path, going_on: Checkpoint | None) -> None:
    """On rank 0, before the first step: the state, and figures of steps that are to be taken again out of the way."""
    if going_on is None:
        MetricsFile(run_dir).keep_until(0, validated=False)
        directory.update_run(run_dir, state="running", error=None)
        return
    progress = going_on.content["progress"]
    dropped = MetricsFile(run_dir).keep_until(progress["step"], validated=progress["validated"])
    resumed = int(directory.read_run(run_dir).get("resumed") or 0) + 1
    directory.update_run(run_dir, state="running", error=None, resumed=resumed)
    directory.append_event(
        run_dir,
        "resumed",
        step=progress["step"],
        validated=progress["validated"],
        checkpoint=str(going_on.path),
        dropped_rows=dropped,
    )


def _callbacks(settings: Settings, *ours: pl.Callback) -> list[pl.Callback]:
    callbacks = list(ours)
    if settings.trainer.ema_decay is not None:
        # Buffers are constants: averaged, they would differ from those of the checkpoint in the last digit.
        callbacks.insert(0, EMAWeightAveraging(use_buffers=False, decay=settings.trainer.ema_decay))
    if settings.trainer.patience is not None:
        callbacks.append(
            EarlyStopping(
                "val_bps_overall",
                mode="max",
                patience=settings.trainer.patience,
                min_delta=settings.trainer.min_delta,
                check_finite=True,
                check_on_train_epoch_end=False,
            )
        )
    return callbacks


def _finish(steps: int, best: Scores, run_dir: Path, started: float, rank: int) -> dict[str, Any]:
    """The figures of the best validation, which is what best.ckpt holds."""
    result = {
        "run": str(run_dir),
        "checkpoint": str(run_dir / "checkpoints" / BEST),
        "val_bps_overall": best.bps_overall,
        "val_bps": best.by_session,
        "oracle_bps_overall": best.oracle_overall,
        "fraction_of_oracle": best.fraction_of_oracle,
        "steps": steps,
        "seconds": round(time.monotonic() - started, 1),
    }
    if rank == 0:
        # a run that is said to be done has its figures
        directory.append_event(run_dir, "finished", **result)
        directory.update_run(run_dir, state="done", best_score=best.bps_overall, seconds=result["seconds"])
    return result
