"""``vctrain export``: a checkpoint without the state of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import completion, options

Target = Annotated[
    Path,
    typer.Argument(
        metavar="CKPT", help="A checkpoint, or a run directory (its best one).", autocompletion=completion.runs
    ),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write [default: beside CKPT, as .pt].")
]


def export(
    checkpoint: Target,
    output: Output = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write weights, model config and sessions of a checkpoint to a .pt that every command takes.

    It needs no file beside it and loads with torch.load(weights_only=True). An existing file is never replaced.

    \b
    Examples:
      vctrain export runs/RUN -o twin.pt
      vctrain export runs/RUN/checkpoints/last.ckpt
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.runs.export import export_checkpoint

    result = export_checkpoint(checkpoint, output)
    if console.json_mode():
        console.emit_json({"ok": True, "command": "export", **result})
        return
    console.result(str(result["output"]))
    units = ", ".join(f"{name} {n}" for name, n in result["sessions"].items())
    console.result(f"{result['tensors']} tensors, {result['bytes'] / 1e6:,.1f} MB; units: {units}")
