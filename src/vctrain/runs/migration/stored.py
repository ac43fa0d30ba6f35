"""What does a migrated checkpoint say of its sessions and of how it was trained? What nobody knows is None."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from vctrain.config.dataset_schema import DatasetFile
from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.plan import Plan, plan_of
from vctrain.config.schema import Settings
from vctrain.errors import UsageError
from vctrain.runs.migration.old import OldCheckpoint
from vctrain.runs.migration.sessions import OldSession


def stored_session(
    session: OldSession, model: LegacyModelConfig, size: tuple[int, int] | None
) -> tuple[dict[str, Any], list[str]]:
    """A session in the words of current checkpoints, and notes on what stays unknown.

    Adapters and readouts of its own are in the model config, and fitted maxima were never stored by the old system.
    """
    config = session.config
    plan, notes = _plan(session.name, config)
    # a modulator fixes how many behaviour values a frame has; without one none are read
    width = model.modulator.params.width if model.modulator.type != "none" else None
    sampling = None if config is None else config.sampling
    transforms = None
    if plan is not None and config is not None:
        factor = 1 if sampling is None else round(sampling.source_rate / sampling.target_rate)
        transforms = {
            "stim": plan.stim_as_list(),
            "stim_maxima": {},
            "behavior": [{**signal.as_dict(), "maxima": {}} for signal in plan.behavior],
            "downsampling": factor,
        }
    described = {
        "name": session.name,
        "subject": session.subject,
        "lab": session.lab,
        "cids": list(session.cids),
        "types": None if session.types is None else list(session.types),
        "rate_hz": None if sampling is None else sampling.target_rate,
        "size": None if size is None else list(size),
        "n_frames": None,
        "transforms": transforms,
        "filters": None if config is None else _filters(config, model.context),
        "split": None
        if config is None
        else {"train_val_split": list(config.train_val_split), "seed": config.seed, "trials": None},
        "adapter": None,
        "readout": None,
        "behavior_dim": width,
        "fingerprint": None,
    }
    return described, notes


def _plan(name: str, config: DatasetFile | None) -> tuple[Plan | None, list[str]]:
    if config is None:
        return None, []
    try:
        return plan_of(config.transforms, f"session {name}"), []
    except UsageError as error:
        return None, [f"its transforms stay unknown: {error.message}"]


def _filters(config: DatasetFile, context: int) -> dict[str, Any]:
    missing = [op.missing_pct for each in config.datafilters.values() for op in each.ops if op.missing_pct is not None]
    return {
        "valid_context": context,
        "settle_seconds": 0.0,
        "missing_pct": missing[0].threshold if missing else None,
    }


def settings_of(old: OldCheckpoint, types: tuple[str, ...] | None) -> Settings:
    """What is known of the training in current settings: learning rate, decay, and types.

    The old system stored ``core_lr_scale`` but trained everything at one rate, so it stays 1.
    """
    hyper = old.hyperparameters
    stated = hyper.get("optim_kwargs")
    kwargs: dict[str, Any] = stated if isinstance(stated, dict) else {}
    optim: dict[str, Any] = {}
    for ours, theirs in (
        ("lr", hyper.get("lr", kwargs.get("lr"))),
        ("weight_decay", hyper.get("wd", kwargs.get("weight_decay"))),
    ):
        if isinstance(theirs, int | float) and math.isfinite(theirs) and theirs > 0:
            optim[ours] = float(theirs)
    return Settings.model_validate({"optim": optim, "data": {"types": None if types is None else list(types)}})


def origin_of(old: OldCheckpoint, model_source: str, why: str) -> dict[str, Any]:
    """Where a migrated checkpoint comes from."""
    return {
        "file": old.path.name,
        "sha256": _sha256(old.path),
        "generation": old.generation,
        "semantics_told_by": why,
        "model_config": Path(model_source).name,
        "epoch": old.number("epoch"),
        "step": old.number("global_step"),
        "lightning": version if isinstance(version := old.content.get("pytorch-lightning_version"), str) else None,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
