"""One training run, from settings to a run directory with a checkpoint and exact bits per spike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from vctrain import console
from vctrain.config.model import ModelConfig
from vctrain.config.resolve import read_settings
from vctrain.config.schema import Settings, StartConfig
from vctrain.data.features import StoredFeatures
from vctrain.data.loader import EvalLoader, Reads, TrainLoader
from vctrain.data.report import report_line, session_report
from vctrain.data.session import Session
from vctrain.errors import UsageError
from vctrain.models.build import AnyTwin
from vctrain.models.twin import Twin
from vctrain.runs import directory
from vctrain.runs.checkpoints import content, read_checkpoint
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.training.allocator import keep_freed_memory
from vctrain.training.callbacks.best_link import BestLink
from vctrain.training.callbacks.records import Records
from vctrain.training.engine import build_trainer, world
from vctrain.training.features import fill
from vctrain.training.freezing import check_unchanged
from vctrain.training.initialise import initialise
from vctrain.training.loading import part_of
from vctrain.training.module import TwinModule
from vctrain.training.plan import notes_on
from vctrain.training.prepare import Prepared, prepare
from vctrain.training.starting import Started, model_of
from vctrain.training.touched import touched
from vctrain.training.validation import ValidationResult

EVAL_FRAMES = 240
EVAL_CLIPS = 4
"""The one canonical shape of evaluation chunks: the digits of a figure must not depend on the batch size or the
ranks."""


def train(settings: Settings, *, run_dir: Path, provenance: Mapping[str, str], argv: Sequence[str]) -> dict[str, Any]:
    """Train as ``settings`` say and return the figures of `train --json` (without ``ok`` and ``command``).

    The run directory is created only after recordings, model and batch composition were accepted.
    """
    settings = with_absolute_paths(settings)
    processes = settings.trainer.devices * settings.trainer.nodes
    prepared = prepare(settings, processes)
    rank, _ = world()
    if rank == 0:
        directory.create_run_dir(run_dir, settings, provenance, argv)
        directory.write_contract(run_dir, [session.describe() for session in prepared.sessions])
    if processes > 1 and not launched_externally():
        del prepared
        try:
            return run_ranks("vctrain.training.fit:train_rank", {"run_dir": str(run_dir)}, processes)
        except KeyboardInterrupt:
            directory.update_run(run_dir, state="interrupted")
            raise
    return _recorded(settings, prepared, run_dir)


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
    """The same as `train` without the checkpoint that ``settings.start`` names: its model, the same data and steps."""
    assert settings.start.checkpoint is not None
    model = model_of(settings, read_checkpoint(settings.start.checkpoint))
    if not isinstance(model, ModelConfig):
        raise UsageError(
            "--compare-scratch: a legacy model cannot be trained from scratch",
            hint="choose a current model with --set model=NAME",
        )
    anew = settings.model_copy(update={"model": model, "start": StartConfig()})
    return train(anew, run_dir=run_dir, provenance=provenance, argv=argv)


def train_rank(run_dir: str) -> dict[str, Any]:
    """One rank of a run whose directory exists: its settings are those of the directory's config.yaml."""
    folder = Path(run_dir)
    settings = read_settings(folder / "config.yaml")
    prepared = prepare(settings, settings.trainer.devices * settings.trainer.nodes)
    return _recorded(settings, prepared, folder)


def _recorded(settings: Settings, prepared: Prepared, run_dir: Path) -> dict[str, Any]:
    """`_run`, with its log, and with its end in run.json whatever the end is."""
    rank, _ = world()
    if rank == 0:
        console.log_to(run_dir / "run.log")
        for session in prepared.sessions:
            for line in session.notes:
                console.note(line)
            report = session_report(session)
            console.note(report_line(report))
            directory.append_event(run_dir, "opened", **report)
        for line in (
            *notes_on(settings, prepared.sessions, prepared.sampler),
            *touched(settings, prepared.twin, prepared.sampler),
        ):
            console.note(line)
    try:
        return _run(settings, prepared, run_dir)
    except BaseException as error:
        # Lightning turns an interrupt into SystemExit; the reason is its context.
        interrupted = isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)
        if rank == 0:
            state = "interrupted" if interrupted else "failed"
            directory.update_run(run_dir, state=state, error=console.one_line(f"{type(error).__name__}: {error}")[:500])
        if isinstance(error.__context__, KeyboardInterrupt) and not isinstance(error, KeyboardInterrupt):
            raise type(error.__context__) from error
        raise


def _run(settings: Settings, prepared: Prepared, run_dir: Path) -> dict[str, Any]:
    """Fit on this rank; rank 0 keeps the records."""
    rank, world_size = world()
    started = time.monotonic()
    keep_freed_memory()
    sessions, twin = prepared.sessions, prepared.twin
    if rank == 0:
        # DDP broadcasts rank 0's weights when it wraps the twin, so the other ranks need not read the frames again.
        _initialise(settings, prepared, run_dir)
    torch.manual_seed(settings.seed * 1009 + rank)
    model = None if prepared.started is None else prepared.started.model
    stored = content(settings, [session.describe() for session in sessions], twin.context, model)
    module = TwinModule(twin, settings, stored)
    accumulate = settings.trainer.accumulate
    trainer = build_trainer(
        accelerator=prepared.accelerator,
        devices=settings.trainer.devices,
        nodes=settings.trainer.nodes,
        precision=settings.trainer.precision,
        callbacks=_callbacks(settings, run_dir, [session.subject for session in sessions], rank),
        max_epochs=settings.trainer.max_epochs,
        limit_train_batches=settings.trainer.steps_per_epoch * accumulate,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=settings.optim.grad_clip or None,
        default_root_dir=str(run_dir),
    )
    stored_features = {} if prepared.features is None else fill(prepared.features, twin, sessions, rank, world_size)
    train_loader = TrainLoader(
        prepared.sampler,
        sessions,
        rank=rank,
        steps_per_epoch=settings.trainer.steps_per_epoch * accumulate,
        start_step=lambda: trainer.global_step * accumulate,
        pin_memory=prepared.accelerator == "gpu",
        reads=reads_of(twin, stored_features),
    )
    val_loader = validation_loader(sessions, "val", twin, rank, world_size, stored_features)
    trainer.fit(module, train_dataloaders=train_loader, val_dataloaders=val_loader)
    trainer.save_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    begun = prepared.started
    if begun is not None:
        check_unchanged(twin, begun.frozen, begun.digest)
    return _finish(module, trainer, run_dir, started, rank) | ({} if begun is None else _taken(begun, prepared))


def _initialise(settings: Settings, prepared: Prepared, run_dir: Path) -> None:
    """What a twin takes from training frames, as far as it was not loaded."""
    twin, begun = prepared.twin, prepared.started
    which: set[int] | None = None
    if begun is not None:
        report = begun.report()
        for line in (*begun.notes, loaded_line(report)):
            console.note(line)
        directory.append_event(run_dir, "loaded", checkpoint=str(begun.checkpoint.path), **report)
        whole = "frontend" in {part_of(name) for name in begun.loaded.fresh}
        which = None if whole else begun.loaded.to_initialise(len(prepared.sessions))
    if isinstance(twin, Twin):
        for found in initialise(twin, prepared.sessions, settings.init, which) if which is None or which else ():
            console.note(str(found))
            directory.append_event(run_dir, "initialised", **found.__dict__)
    if begun is not None:
        begun.reload()


def loaded_line(report: Mapping[str, Any]) -> str:
    """What was loaded and frozen, in one line."""
    return f"loaded {report['loaded']}/{report['of']} tensors, changed {report['changed']}, frozen {report['frozen']}"


def _taken(begun: Started, prepared: Prepared) -> dict[str, Any]:
    """The part of the figures that says what came from the checkpoint; what was frozen has been checked by now."""
    features = {} if prepared.features is None else {"features": prepared.features.report()}
    report = begun.report()
    vision = {key: report["vision"][key] for key in ("loaded", "changed", "frozen")}
    return {
        "from": str(begun.checkpoint.path),
        "tensors": {key: report[key] for key in ("loaded", "of", "changed", "frozen")},
        "vision": {**vision, "unchanged_at_end": True if vision["frozen"] else None},
        **features,
    }


def reads_of(twin: AnyTwin, features: Mapping[int, StoredFeatures] | None = None) -> Reads:
    """What of a clip is read for this twin; its features instead of the movie where they were computed beforehand."""
    return Reads(stim=twin.reads_stimulus, history=twin.history_frames, features=features or {})


def validation_loader(
    sessions: Sequence[Session],
    split: str,
    twin: AnyTwin,
    rank: int,
    world_size: int,
    features: Mapping[int, StoredFeatures] | None = None,
) -> EvalLoader:
    """Every frame of ``split`` once, in canonical chunks, with the true rates where they are known."""
    return EvalLoader(
        sessions,
        split=split,
        context=twin.context,
        frames=EVAL_FRAMES,
        clips=EVAL_CLIPS,
        rank=rank,
        world_size=world_size,
        rate_true=True,
        reads=reads_of(twin, features),
    )


def _callbacks(settings: Settings, run_dir: Path, subjects: Sequence[str], rank: int) -> list[pl.Callback]:
    folder = run_dir / "checkpoints"
    best = ModelCheckpoint(
        dirpath=folder,
        filename="{epoch:02d}-{val_bps_overall:.4f}",
        monitor="val_bps_overall",
        mode="max",
        save_top_k=settings.checkpoint.keep_best,
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        dirpath=folder,
        filename="last",
        monitor=None,
        save_top_k=1,
        every_n_train_steps=settings.checkpoint.every_n_steps or settings.trainer.steps_per_epoch,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    callbacks: list[pl.Callback] = [Records(run_dir, settings, subjects, rank), best, last, BestLink(best, rank)]
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
            )
        )
    return callbacks


def _finish(module: TwinModule, trainer: pl.Trainer, run_dir: Path, started: float, rank: int) -> dict[str, Any]:
    """The figures of the best validation, which is what best.ckpt holds."""
    records = next(c for c in trainer.callbacks if isinstance(c, Records))  # type: ignore[attr-defined]
    best: ValidationResult = records.best
    result = {
        "run": str(run_dir),
        "checkpoint": str(run_dir / "checkpoints" / "best.ckpt"),
        "val_bps_overall": best.bps_overall,
        "val_bps": best.by_session,
        "oracle_bps_overall": best.oracle_overall,
        "fraction_of_oracle": best.fraction_of_oracle,
        "steps": trainer.global_step,
        "seconds": round(time.monotonic() - started, 1),
    }
    if rank == 0:
        directory.update_run(run_dir, state="done", best_score=best.bps_overall, seconds=result["seconds"])
        directory.append_event(run_dir, "finished", **result)
    return result
