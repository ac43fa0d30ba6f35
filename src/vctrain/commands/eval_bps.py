"""``vctrain eval-bps``: exact bits per spike of checkpoints, as a table or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.commands.render import figure, share

Targets = Annotated[list[str], typer.Argument(metavar="CKPT...", help="Checkpoint files or run directories.")]
OnSplit = Annotated[options.Split, typer.Option("--split", help="Trials to evaluate on.")]


def eval_bps(
    targets: Targets,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.val,
    types: options.Types = None,
    devices: options.Devices = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate checkpoints on every frame of a split: bits per spike of each unit, session and overall.

    Without --data on the recordings a checkpoint was trained on; --data may name others of the same units, which
    are matched by cid.

    \b
    Examples:
      vctrain eval-bps runs/RUN
      vctrain eval-bps runs/RUN/checkpoints/last.ckpt --split all
      vctrain eval-bps runs/* --types backimage --json
      vctrain eval-bps runs/RUN --data other_day.yaml
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.evaluation.evaluate import evaluate

    results: list[dict[str, Any]] = []
    for target in targets:
        result = evaluate(
            target,
            data=data,
            data_root=data_root,
            split=split.value,
            types=options.types_of(types),
            devices=devices or 1,
            accelerator=(accelerator or options.Accelerator.auto).value,
        )
        for text in result["notes"]:
            console.note(text)
        if not console.json_mode():
            _show(result)
        results.append(result)
    if console.json_mode():
        shown = results[0] if len(results) == 1 else {"results": results}
        console.emit_json({"ok": True, "command": "eval-bps", **shown})


def _show(result: Mapping[str, Any]) -> None:
    rows = []
    for name, session in result["sessions"].items():
        scored = sum(value is not None for value in session["units"].values())
        units = str(session["n_units"]) if scored == session["n_units"] else f"{scored} of {session['n_units']}"
        rows.append([name, units, str(session["n_frames"]), figure(session["bps"])])
    console.table(f"{result['checkpoint']}, split {result['split']}", ["session", "units", "frames", "bps"], rows)
    overall = f"bps_overall {figure(result['bps_overall'])}"
    if result["fraction_of_oracle"] is not None:
        overall += f", {share(result['fraction_of_oracle'])} of the oracle's {figure(result['oracle_bps_overall'])}"
    console.result(overall)
