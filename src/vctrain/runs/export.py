"""How is a checkpoint written without the state of its training?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vctrain.runs.checkpoints import Checkpoint, read_checkpoint, write_portable


def export_checkpoint(target: Path, output: Path | None = None) -> dict[str, Any]:
    """Write the checkpoint ``target`` (or the best one of that run directory) to ``output``.

    By default beside it as ``.pt``, for a run directory in that directory under its name. Returns ``{"checkpoint",
    "output", "tensors", "bytes", "sessions": {name: units}}``. Raises UsageError if ``output`` exists, ContractError if
    the checkpoint cannot be used.
    """
    checkpoint = read_checkpoint(target)
    if output is None:
        output = target / f"{target.resolve().name}.pt" if target.is_dir() else _beside(target)
    write_portable(output, checkpoint.weights, {**checkpoint.content, "origin": origin(checkpoint)})
    return {
        "checkpoint": str(checkpoint.path),
        "output": str(output),
        "tensors": len(checkpoint.weights),
        "bytes": output.stat().st_size,
        "sessions": {session["name"]: len(session["cids"]) for session in checkpoint.sessions},
    }


def origin(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where an exported checkpoint comes from; that of a migrated one stays what it was."""
    known = checkpoint.content.get("origin")
    if isinstance(known, dict):
        return known
    return {"file": checkpoint.path.name, "epoch": checkpoint.epoch, "step": checkpoint.step}


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.stem}-exported.pt") if target.suffix == ".pt" else target.with_suffix(".pt")
