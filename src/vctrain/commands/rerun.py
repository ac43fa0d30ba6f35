"""``vctrain rerun``: train a run again from its config.yaml."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.shown_runs import show_result
from vctrain.runs.stopping import limit_time

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="Run directory to train again; it is only read.", autocompletion=completion.runs
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="CKPT", help="Where the checkpoint that a fine-tuned run began from is now."),
]
Allow = Annotated[
    bool,
    typer.Option("--allow-changed-data", help="Train although recordings or base are not those of the run."),
]


def rerun(
    run: Run,
    run_dir: options.RunDir = None,
    data: options.Data = None,
    checkpoint: Checkpoint = None,
    allow_changed_data: Allow = False,
    time_limit: options.TimeLimit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a run again, from the first step, as its config.yaml says: on the same machine the same digits.

    Versions, git state, machine and recordings are compared with those of the run; recordings or a base checkpoint that
    changed are refused. At the end metrics.csv is compared.

    \b
    Examples:
      vctrain rerun runs/RUN
      vctrain rerun runs/RUN --run-dir runs/again --json
      vctrain rerun runs/RUN --data /new/place/sessions.yaml
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    limit_time(time_limit)
    # Torch is imported from here on.
    from vctrain.training import rerunning

    again = rerunning.Again.of(run, data, checkpoint)
    result = rerunning.rerun(again, run_dir=run_dir, allow_changed_data=allow_changed_data, argv=sys.argv)
    show_result("rerun", result)
    if result["same_digits"] is not None and not json:
        said = "the same digits as" if result["same_digits"] else "other digits than"
        console.result(f"metrics.csv {said} {run}")
