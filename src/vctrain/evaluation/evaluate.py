"""How good a checkpoint is on a split: exact bits per spike of every unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import Matched, open_for_checkpoint
from vctrain.errors import ContractError
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.supervisor import launched_externally, run_ranks
from vctrain.training.engine import build_trainer, check_devices, resolve_accelerator, world
from vctrain.training.fit import validation_loader
from vctrain.training.module import TwinModule
from vctrain.training.validation import ValidationResult


def evaluate(
    target: str,
    *,
    data: str | None = None,
    data_root: str | None = None,
    split: str = "val",
    types: Sequence[str] | None = None,
    devices: int = 1,
    accelerator: str = "auto",
) -> dict[str, Any]:
    """Bits per spike of a checkpoint or run directory on ``split`` (``train``, ``val``, ``test`` or ``all``).

    Without ``data``, on the recordings it was trained on. Returns ``{"checkpoint", "split", "bps_overall",
    "sessions": {name: {"bps", "n_units", "n_frames", "units": {cid: bps}}}, "oracle_bps_overall",
    "fraction_of_oracle", "notes"}``; a unit without a spike on the split has None. Exact on any number of
    ``devices``.
    """
    arguments = {
        "target": target,
        "data": data,
        "data_root": data_root,
        "split": split,
        "types": None if types is None else list(types),
        "devices": devices,
        "accelerator": resolve_accelerator(accelerator),
    }
    if devices > 1 and not launched_externally():
        check_devices(str(arguments["accelerator"]), devices, 1)
        _open(arguments)
        return run_ranks("vctrain.evaluation.evaluate:evaluate_rank", arguments, devices)
    return evaluate_rank(**arguments)


def _open(arguments: dict[str, Any]) -> tuple[Checkpoint, Matched]:
    checkpoint = read_checkpoint(arguments["target"])
    trained_on = checkpoint.settings.data
    path = arguments["data"] or trained_on.path
    if path is None or not Path(path).exists():
        raise ContractError(
            f"{checkpoint.path}: its recordings ({path}) are not there",
            hint="give --data with the recordings to evaluate on",
        )
    specs = load_dataset_configs(
        path,
        data_root=arguments["data_root"] or (None if arguments["data"] else trained_on.root),
        types=arguments["types"] or trained_on.types,
        max_datasets=None if arguments["data"] else trained_on.max_datasets,
    )
    matched = open_for_checkpoint(
        specs,
        checkpoint.sessions,
        int(checkpoint.content["context"]),
        all_required=arguments["data"] is None,
        stim=checkpoint.model.reads_stimulus,
    )
    for session in matched.sessions:
        if session.n_scored(arguments["split"]) == 0:
            raise ContractError(
                f"session {session.name} has no {arguments['split']} frame: its trials were split "
                f"{list(session.spec.train_val_split)}",
                hint="evaluate another split; a test split is set with train_val_split: [0.7, 0.15, 0.15]",
            )
    return checkpoint, matched


def evaluate_rank(**arguments: Any) -> dict[str, Any]:
    """One rank of `evaluate`, through the same Lightning loop as validation in training."""
    checkpoint, matched = _open(arguments)
    rank, world_size = world()
    module = TwinModule(checkpoint.build(), checkpoint.settings, checkpoint.content)
    trainer = build_trainer(accelerator=arguments["accelerator"], devices=arguments["devices"])
    loader = validation_loader(matched.sessions, arguments["split"], module.twin, rank, world_size)
    trainer.validate(module, dataloaders=loader, verbose=False)
    assert module.results is not None
    return _render(checkpoint, matched, module.results, arguments["split"])


def _render(checkpoint: Checkpoint, matched: Matched, result: ValidationResult, split: str) -> dict[str, Any]:
    sessions = {}
    for session in matched.sessions:
        bps, sums = result.bps[session.index], result.sums[session.index]
        sessions[session.name] = {
            "bps": result.by_session[session.name],
            "n_units": session.n_units,
            "n_frames": int(sums.frames.max()),
            "n_units_without_spikes": int(bps.isnan().sum()),
            "units": {
                str(cid): None if math.isnan(value) else value
                for cid, value in zip(session.cids, bps.tolist(), strict=True)
            },
        }
    return {
        "checkpoint": str(checkpoint.path),
        "split": split,
        "bps_overall": result.bps_overall,
        "oracle_bps_overall": result.oracle_overall,
        "fraction_of_oracle": result.fraction_of_oracle,
        "sessions": sessions,
        "notes": list(matched.notes),
    }
