"""Would a run work here, and how long would it take? Its recordings one by one, and steps of its real twin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.schema import Settings
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError, FaultError, VctrainError, is_out_of_memory
from vctrain.models.build import context_of
from vctrain.runs.machine import (
    DATA,
    ENVIRONMENT,
    Check,
    check_devices_here,
    check_disk,
    check_files,
    check_network,
    check_shared_memory,
    check_versions,
    check_wandb,
)
from vctrain.training.budget import BRIEF, measure
from vctrain.training.faults import as_fault
from vctrain.training.largest import largest_batch
from vctrain.training.prepare import Prepared, prepare

_SHOWN = 3


def of_machine(settings: Settings | None) -> Iterator[Check]:
    """What can be said without recordings."""
    trainer = (settings or Settings()).trainer
    processes = trainer.devices * trainer.nodes
    yield check_versions()
    yield check_devices_here(trainer.accelerator, trainer.devices)
    yield check_shared_memory(processes, torch.cuda.is_available() and trainer.accelerator != "cpu")
    yield check_network(processes, trainer.nodes)
    yield check_wandb((settings or Settings()).logging)


def of_run(settings: Settings, run_dir: Path, estimate: dict[str, Any]) -> Iterator[Check]:
    """Recordings, disk, a few real steps; ``estimate`` gets what a run would take.

    What cannot be looked at because of an earlier failure is left out.
    """
    opened = True
    for check in _recordings(settings):
        opened = opened and check.state != "fail"
        yield check
    if not opened:
        return
    try:
        # one process stands for all: nothing is started
        alone = settings.trainer.model_copy(update={"devices": 1, "nodes": 1})
        here = settings.model_copy(update={"trainer": alone})
        prepared = prepare(here, 1)
    except (ContractError, FaultError) as error:
        yield Check("run", "fail", error.message, error.hint, error.code)
        return
    parameters = sum(parameter.numel() for parameter in prepared.twin.parameters())
    yield check_disk(run_dir, parameters, settings.checkpoint.keep_best)
    yield _steps(settings, here, prepared, estimate)


def _recordings(settings: Settings) -> Iterator[Check]:
    data = settings.data
    assert data.path is not None
    try:
        specs = load_dataset_configs(data.path, data_root=data.root, types=data.types, max_datasets=data.max_datasets)
    except VctrainError as error:
        yield Check("recordings", "fail", error.message, error.hint, DATA)
        return
    context, stim = context_of(settings.model), settings.model.reads_stimulus
    files, units, frames, failures = 0, 0, 0, 0
    for spec in specs:
        try:
            (session,) = open_sessions([spec], context, data.settle_seconds, stim)
        except VctrainError as error:
            failures += 1
            yield Check(f"session {spec.name}", "fail", error.message, error.hint, DATA)
            continue
        files += len(session.recordings)
        units += session.n_units
        scored = session.n_scored("train"), session.n_scored("val")
        frames += sum(scored)
        if session.notes:
            more = f" (and {len(session.notes) - _SHOWN} more)" if len(session.notes) > _SHOWN else ""
            yield Check(f"session {spec.name}", "warn", "; ".join(session.notes[:_SHOWN]) + more, "vctrain inspect")
        if min(scored) == 0:
            failures += 1
            found = f"{scored[0]} training and {scored[1]} validation frames count"
            fix = f"vctrain inspect {spec.config_path or data.path} says why frames were dropped"
            yield Check(f"session {spec.name}", "fail", found, fix, DATA)
    if not failures:
        yield Check("recordings", "ok", f"{len(specs)} sessions, {units:,} units, {frames:,} scored frames")
    yield check_files(files)


def _steps(settings: Settings, here: Settings, prepared: Prepared, estimate: dict[str, Any]) -> Check:
    """A few steps of the real twin on real clips, and a piece of its validation."""
    gpu, data = prepared.accelerator == "gpu", settings.data
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        step, validation = measure(here, prepared, BRIEF)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            fault = as_fault(error, "trying three steps", None)
            if fault is None:
                raise
            return Check("steps", "fail", fault.message, fault.hint, fault.code)
        fits = largest_batch(here, prepared) if gpu else None
        fix = "lower data.clip_frames" if fits is None else f"--set data.batch_clips={fits}, which fits"
        found = f"out of memory: {data.batch_clips} clips of {data.clip_frames} frames"
        return Check("steps", "fail", found, fix, ENVIRONMENT)
    trainer = settings.trainer
    processes = trainer.devices * trainer.nodes
    seconds = trainer.max_epochs * (trainer.steps_per_epoch * step + validation) / processes
    estimate |= {
        "step_seconds": step,
        "validation_seconds": validation,
        "steps": trainer.max_epochs * trainer.steps_per_epoch,
        "hours": seconds / 3600,
        "processes": processes,
    }
    peak = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory" if gpu else ""
    shared = f", if {processes} processes share the work evenly" if processes > 1 else ""
    found = f"{1000 * step:.0f} ms a step, {validation:.1f} s a validation{peak}: about {seconds / 3600:.2g} h{shared}"
    return Check("steps", "ok", found)
