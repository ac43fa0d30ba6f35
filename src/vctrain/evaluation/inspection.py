"""What is in a checkpoint or a run directory, and is it sound?"""

from __future__ import annotations

import contextlib
import csv
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import vctrain
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.layers import leaves
from vctrain.config.resolve import read_settings
from vctrain.config.schema import Settings
from vctrain.data.dset import open_dset
from vctrain.data.inspection.findings import Findings, counted, listed
from vctrain.data.recordings import Recording
from vctrain.errors import ContractError, VctrainError
from vctrain.evaluation.model_facts import model_facts, try_clip
from vctrain.models.build import AnyTwin
from vctrain.runs.bounds import Bounded
from vctrain.runs.checkpoints import Checkpoint, read_checkpoint
from vctrain.runs.directory import read_run
from vctrain.runs.metrics_file import MetricsFile

HEADS = ("adapters", "readouts", "baselines", "spike_history")
"""The parts that sessions own."""


def inspect_checkpoint(path: Path) -> tuple[dict[str, Any], Findings]:
    """What a checkpoint holds, in plain types, and what is odd about it.

    Raises ContractError if it cannot be read.
    """
    checkpoint = read_checkpoint(path)
    findings = Findings(str(checkpoint.path))
    facts = _described(checkpoint, findings)
    _compare_recordings(checkpoint.settings, checkpoint.sessions, findings)
    return facts, findings


def inspect_run(folder: Path) -> tuple[dict[str, Any], Findings]:
    """State, figures, sessions and best checkpoint of a run directory, and what is odd about them.

    Raises ContractError if run.json or a checkpoint cannot be read.
    """
    run = read_run(folder)
    findings = Findings(str(folder))
    settings = _settings_of(folder, findings)
    rows = rows_of(folder)
    kept = folder / "checkpoints"
    facts: dict[str, Any] = {
        "run": str(folder),
        **{key: run.get(key) for key in ("state", "error", "created", "updated", "seconds", "preset")},
        "command_line": run.get("command"),
        "step": run.get("step"),
        "steps_planned": None if settings is None else settings.trainer.max_epochs * settings.trainer.steps_per_epoch,
        "best_score": run.get("best_score"),
        "validations": len(rows),
        "last_row": {name: number_in(cell) for name, cell in rows[-1].items()} if rows else None,
        **{key: run.get(key) for key in ("versions", "git", "host", "ids")},
        "checkpoints": [{"file": file.name, "bytes": file.stat().st_size} for file in sorted(kept.glob("*.ckpt"))],
        "checkpoint": None,
    }
    _judge_state(run, folder, findings)
    _judge_rows(rows, findings)
    if any((kept / name).is_file() for name in ("best.ckpt", "last.ckpt")):
        checkpoint = read_checkpoint(folder)
        facts["checkpoint"] = _described(checkpoint, findings)
        _compare_recordings(checkpoint.settings, checkpoint.sessions, findings)
    else:
        findings.problem("no checkpoint yet", "the first is written after an epoch; see run.log")
    return facts, findings


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv of a run directory; ContractError if they cannot be read."""
    try:
        return MetricsFile(folder).rows()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ContractError(
            f"{folder / 'metrics.csv'} cannot be read: {error}", hint="its figures are in events.jsonl too"
        ) from error


def _settings_of(folder: Path, findings: Findings) -> Settings | None:
    try:
        return read_settings(folder / "config.yaml")
    except VctrainError as error:
        findings.problem(error.message, "the run was written by another version, or its config.yaml edited")
        return None


def _described(checkpoint: Checkpoint, findings: Findings) -> dict[str, Any]:
    content, settings = checkpoint.content, checkpoint.settings
    twin = _judge_weights(checkpoint, findings)
    fixed = {name for name, p in twin.named_parameters() if not p.requires_grad} if twin is not None else set()
    written_by = content.get("versions", {})
    if written_by.get("vctrain") != vctrain.__version__:
        findings.note(f"written by vctrain {written_by.get('vctrain', 'unknown')}; this is {vctrain.__version__}")
    parts = _parts({name: tensor for name, tensor in checkpoint.weights.items() if name not in fixed})
    heads = sum(part["parameters"] for part in parts if part["part"] in HEADS)
    total = sum(part["parameters"] for part in parts)
    keys = ("name", "subject", "lab", "cids", "types", "rate_hz", "size", "behavior_dim", "split", "filters")
    return {
        "path": str(checkpoint.path),
        "bytes": checkpoint.path.stat().st_size,
        "format": content["format"],
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "resumable": checkpoint.resumable,
        "origin": content.get("origin"),
        "best_score": content.get("val_bps_overall"),
        "context": content.get("context"),
        "preset": settings.preset,
        "versions": written_by,
        "sessions": [
            {key: session.get(key) for key in (*keys, "adapter", "readout", "fingerprint", "transforms")}
            for session in checkpoint.sessions
        ],
        "parameters": {"total": total, "core": total - heads, "heads": heads, "parts": parts},
        "model": {
            name: part["type"] if isinstance(part, Mapping) else part
            for name, part in checkpoint.model.model_dump(mode="json").items()
            if isinstance(part, str | bool) or (isinstance(part, Mapping) and "type" in part)
        },
        **(_NO_MODEL if twin is None else _measured(checkpoint, twin, findings)),
        "changed_settings": changed_settings(settings),
    }


_NO_MODEL = {"components": None, "receptive_field": None, "flops": None}


def _measured(checkpoint: Checkpoint, twin: AnyTwin, findings: Findings) -> dict[str, Any]:
    try:
        with Bounded(checkpoint.weights.values(), str(checkpoint.path)):
            try_clip(checkpoint, twin)
    except VctrainError as error:
        findings.problem(error.message.removeprefix(f"{checkpoint.path}: "), error.hint, blocks=True)
        return dict(_NO_MODEL)
    return model_facts(checkpoint, twin)


def _parts(weights: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    """Tensors and learned numbers of each part of the twin, in the order of the file."""
    parts: dict[str, list[int]] = {}
    for name, tensor in weights.items():
        parts.setdefault(name.partition(".")[0], []).append(tensor.numel())
    return [{"part": part, "tensors": len(sizes), "parameters": sum(sizes)} for part, sizes in parts.items()]


def changed_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings that are not at their default, by dotted path, each with its ``value`` and ``default``.

    >>> changed_settings(Settings(seed=3))
    {'seed': {'value': 3, 'default': 0}}
    """
    default = dict(leaves(Settings().model_dump(mode="json")))
    own = dict(leaves(settings.model_dump(mode="json")))
    return {
        path: {"value": value, "default": default.get(path)}
        for path, value in own.items()
        if value != default.get(path)
    }


def _judge_weights(checkpoint: Checkpoint, findings: Findings) -> AnyTwin | None:
    """The twin, if all tensors fit, after a look at whether they are finite."""
    broken = [name for name, tensor in checkpoint.weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        findings.problem(
            f"{counted(len(broken), 'tensor')} not finite ({listed(broken, 4)})",
            "its figures cannot be trusted; take an earlier checkpoint and train on with a lower learning rate",
        )
    try:
        return checkpoint.build()
    except VctrainError as error:
        findings.problem(error.message.removeprefix(f"{checkpoint.path}: "), error.hint, blocks=True)
        return None


def _judge_state(run: Mapping[str, Any], folder: Path, findings: Findings) -> None:
    state = run.get("state")
    if state in ("failed", "interrupted"):
        reason = f": {run['error']}" if run.get("error") else ""
        findings.problem(f"the run {'failed' if state == 'failed' else 'was interrupted'}{reason}", "see run.log")
    host = run.get("host") or {}
    if state in ("created", "running") and host.get("name") == socket.gethostname() and not _alive(host.get("pid")):
        findings.problem(
            f"its state is {state}, but its process {host.get('pid')} is gone",
            f"it was killed before it could say so; see {folder / 'run.log'}",
        )


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # somebody else's
        return True
    return True


def _judge_rows(rows: list[dict[str, str]], findings: Findings) -> None:
    scores = [number_in(row.get("val_bps_overall")) for row in rows]
    known = [(score, at) for at, score in enumerate(scores) if score is not None]
    losses = [cell for row in rows if (cell := row.get("train_loss"))]
    if any(number_in(cell) is None for cell in losses):
        findings.problem("train_loss is not a number in metrics.csv", "lower optim.lr, or raise optim.warmup_steps")
    if known:
        best, at = max(known)
        since = len(rows) - 1 - at
        if since:
            findings.note(
                f"best val_bps_overall {best:.4f} at step {rows[at].get('step')}, {counted(since, 'validation')} ago"
            )


def number_in(cell: str | None) -> float | None:
    """The number in a cell of metrics.csv; None if it is empty, or not finite.

    >>> number_in("0.5"), number_in(""), number_in("nan")
    (0.5, None, None)
    """
    with contextlib.suppress(ValueError):
        number = float(cell or "")
        return number if math.isfinite(number) else None
    return None


def _compare_recordings(settings: Settings, sessions: tuple[dict[str, Any], ...], findings: Findings) -> None:
    """Says where the recordings are no longer those that were trained on, if they are here."""
    data = settings.data
    if all(session["fingerprint"] is None for session in sessions):
        findings.note("it does not know the recordings it was trained on, so none are compared")
        return
    if data.path is None or not Path(data.path).exists():
        findings.note(f"its recordings ({data.path}) are not here, so they are not compared")
        return
    # of those that a twin of behaviour alone was trained on, the movies are not compared
    blind = {session["name"] for session in sessions if session["size"] is None}
    try:
        specs = load_dataset_configs(data.path, data_root=data.root, types=data.types, max_datasets=data.max_datasets)
        found = {
            (spec.name, kind): Recording(spec.name, kind, open_dset(path), 1, spec.name not in blind).fingerprint()
            for spec in specs
            for kind, path in spec.files.items()
        }
    except VctrainError as error:
        findings.note(f"its recordings cannot be compared: {error.message}")
        return
    trained_on = {(s["name"], kind): of for s in sessions for kind, of in (s["fingerprint"] or {}).items()}
    gone = [" ".join(recording) for recording in trained_on if recording not in found]
    if gone:
        findings.note(f"no longer among its recordings: {listed(gone, 6)}")
    changed = [" ".join(key) for key, fingerprint in trained_on.items() if found.get(key, fingerprint) != fingerprint]
    if changed:
        findings.problem(
            f"recordings changed since the training: {listed(changed, 6)}",
            "scores on them are not those of the data trained on; restore the files, or train anew",
        )
