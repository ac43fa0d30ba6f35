"""What would a run do: sessions, shares, parameters, schedules? Said before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vctrain.config.components.modulators import NoModulator
from vctrain.config.regularization import Regularizer
from vctrain.config.schema import Settings
from vctrain.data.curriculum import alpha
from vctrain.data.sampler import ClipSampler
from vctrain.data.session import Session
from vctrain.models.build import AnyTwin
from vctrain.training.optimizer import parameter_groups
from vctrain.training.prepare import prepare
from vctrain.training.regularizers import kept_from_decay, match
from vctrain.training.schedules import lr_factor
from vctrain.training.touched import core_learns, families, lambda_pred, predicts, touched

_ROWS, _POINTS = 9, 240


def describe(settings: Settings) -> dict[str, Any]:
    """What `train --dry-run` shows: sessions with their frames and shares, parameters, optimizer groups, schedules;
    writes nothing."""
    prepared = prepare(settings, settings.trainer.devices * settings.trainer.nodes)
    sampler = prepared.sampler
    weights = declared_weights(sampler)
    sessions = []
    for session, share, weight in zip(prepared.sessions, sampler.likely.tolist(), weights, strict=True):
        clips = round(share * sampler.batch_clips, 3)
        if sampler.shares is not None:
            clips = int(sampler.shares[session.index])
        frames = {
            split: int((s[:, 1] - s[:, 0]).sum()) for split in ("train", "val") for s in [session.segments(split)]
        }
        sessions.append(
            {
                "name": session.name,
                "subject": session.subject,
                "units": session.n_units,
                "frames": session.n_frames,
                "train_frames": frames["train"],
                "val_frames": frames["val"],
                "clips": clips,
                "weight": weight,
            }
        )
    matched = match(prepared.twin, settings.regularization)
    groups = parameter_groups(prepared.twin, settings.optim, kept_from_decay(matched))
    return {
        "sessions": sessions,
        "context": prepared.twin.context,
        "parameters": {part: sum(g.size for g in groups if g.name.startswith(part)) for part in ("core", "head")},
        "groups": [
            {"name": g.name, "lr": g.lr, "weight_decay": g.weight_decay, "tensors": len(g.parameters), "size": g.size}
            for g in groups
        ],
        "steps": settings.trainer.max_epochs * settings.trainer.steps_per_epoch,
        "regularizers": [
            {
                "name": entry.regularizer.name,
                "type": entry.regularizer.type,
                "tensors": len(entry.targets),
                "size": sum(target.parameter.numel() for target in entry.targets),
                "names": [target.name for target in entry.targets],
                "families": families(target.name for target in entry.targets),
            }
            for entry in matched
        ],
        "schedule": schedule(settings, prepared.twin),
        "curves": curves(settings, prepared.twin),
        **({} if prepared.features is None else {"features": prepared.features.report()}),
        "notes": [
            *notes_on(settings, prepared.sessions, sampler),
            *touched(settings, prepared.twin, sampler),
            *(() if prepared.started is None else prepared.started.notes),
            *([] if prepared.features is None else [str(prepared.features)]),
        ],
    }


def schedule(settings: Settings, twin: AnyTwin) -> list[dict[str, Any]]:
    """What `_at` says, at some steps of the run: evenly spread, and those at which a schedule turns."""
    optim, curriculum = settings.optim, settings.data.curriculum
    total = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
    marks = {int(step) for step in np.linspace(0, total - 1, _ROWS)} | {min(optim.warmup_steps, total - 1)}
    epoch = settings.trainer.steps_per_epoch
    marks |= {min(e * epoch, total - 1) for r in settings.regularization for e in _turns(r)}
    if curriculum is not None:
        marks.add(min(curriculum.warmup_steps, total - 1))
    return [_at(step, settings, twin) for step in sorted(marks)]


def curves(settings: Settings, twin: AnyTwin) -> dict[str, list[float]]:
    """The same at many steps, evenly spread over the run: a list for each quantity, of which ``step`` is the first."""
    total = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
    rows = [_at(step, settings, twin) for step in np.unique(np.linspace(0, total - 1, _POINTS).astype(int)).tolist()]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _at(step: int, settings: Settings, twin: AnyTwin) -> dict[str, Any]:
    """Learning rates, alpha of the curriculum, and the weight of every other term of the loss, at one step."""
    optim, curriculum, epoch = settings.optim, settings.data.curriculum, settings.trainer.steps_per_epoch
    factor = lr_factor(step, settings.trainer.max_epochs * epoch, optim, epoch)
    row: dict[str, Any] = {"step": step}
    if core_learns(twin):
        row["lr_core"] = optim.lr * optim.core_lr_scale * factor
    row["lr_head"] = optim.lr * factor
    if curriculum is not None:
        row["curriculum_alpha"] = 1.0 if (now := alpha(step, curriculum)) is None else now
    if predicts(twin.config):
        row["lambda_pred"] = lambda_pred(settings, twin.config)
    return row | {r.name: r.strength_at(step // epoch) for r in settings.regularization}


def _turns(regularizer: Regularizer) -> set[int]:
    """The epochs at which its schedule turns."""
    found = (getattr(regularizer.schedule, name, None) for name in ("start_epoch", "end_epoch"))
    return {epoch for epoch in found if epoch is not None}


def declared_weights(sampler: ClipSampler) -> list[float]:
    """What each session weighs in the loss on average, summing to 1."""
    if sampler.homogeneous or sampler.session_weights is None:
        return list(sampler.likely.tolist())
    weights: list[float] = (sampler.session_weights / sampler.session_weights.sum()).tolist()
    return weights


def notes_on(settings: Settings, sessions: Sequence[Session], sampler: ClipSampler) -> list[str]:
    """What is worth knowing of how the sessions take part in training."""
    notes = []
    data = settings.data
    if data.sampling != "stratified" and data.composition != "equal":
        notes.append(f"data.composition {data.composition} has no effect: data.sampling is {data.sampling}")
    by_subject: dict[str, float] = {}
    for session, weight in zip(sessions, declared_weights(sampler), strict=True):
        by_subject[session.subject] = by_subject.get(session.subject, 0.0) + weight
    listed = ", ".join(f"{subject} {weight:.3f}" for subject, weight in by_subject.items())
    notes.append(f"subjects weigh in the loss: {listed}")
    without = [session.name for session in sessions if not session.behavior_dim]
    if without and not isinstance(settings.model.modulator, NoModulator):
        notes.append(f"without behaviour, so the modulator takes a learned constant: {', '.join(without)}")
    if sampler.weights is not None and data.curriculum is not None:
        total = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
        over = "" if data.curriculum.warmup_steps < total else f", beyond the run's {total}"
        notes.append(
            f"curriculum: frames weigh min(1, alpha * contrast / {sampler.weights.median:.3g} grey levels), alpha from "
            f"{data.curriculum.start:g} to 1 over {data.curriculum.warmup_steps} steps{over}"
        )
    return notes
