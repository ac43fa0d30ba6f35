"""``vctrain predict``: the rates that a checkpoint predicts, beside the counts, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import completion, options

Target = Annotated[
    str, typer.Argument(metavar="CKPT", help="Checkpoint file or run directory.", autocompletion=completion.runs)
]
OnSplit = Annotated[options.Split, typer.Option("--split", help="Trials to predict.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="rates.npz of all sessions, or FILE.dset of one.")]


def predict(
    context: typer.Context,
    checkpoint: Target,
    out: Out,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.val,
    types: options.Types = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write predicted rates, counts, masks, trials and times of every scored frame: where analyses start from.

    Frames are in order; --split all has those of every trial. An existing file is never replaced.

    \b
    Examples:
      vctrain predict runs/RUN --out rates.npz
      vctrain predict runs/RUN --split all --types fixrsvp --out fixrsvp.npz
      vctrain predict twin.pt --data other_day.yaml --out session.dset
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.evaluation.evaluate import Question
    from vctrain.evaluation.predict import predict as write_rates

    question = Question(**options.question(context.params))
    result = write_rates(checkpoint, question, out)
    for text in result["notes"]:
        console.note(text)
    if console.json_mode():
        console.emit_json({"ok": True, "command": "predict", **result})
        return
    rows = [[name, str(found["n_units"]), str(found["n_frames"])] for name, found in result["sessions"].items()]
    console.table(f"{result['checkpoint']}, split {result['split']}", ["session", "units", "frames"], rows)
    console.result(f"{result['output']}  {result['bytes'] / 1e6:,.1f} MB")
