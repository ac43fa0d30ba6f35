"""``vctrain sync``: show finished or running runs in Weights & Biases or TensorBoard, from their own records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.errors import UsageError


class To(StrEnum):
    """Where to."""

    wandb = "wandb"
    wandb_offline = "wandb-offline"
    tensorboard = "tensorboard"


Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", autocompletion=completion.runs)]
Where = Annotated[To, typer.Option("--to", help="wandb-offline writes files that wandb sync can upload.")]
Again = Annotated[bool, typer.Option("--all", help="Also what was handed over before.")]


def sync(
    runs: Runs,
    to: Where = To.wandb,
    again: Again = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Hand over what a run's events.jsonl holds and the other side does not have yet, with pictures and the newest
    report.

    A run has one id there, however often it was resumed or synced.

    \b
    Examples:
      vctrain sync runs/RUN
      vctrain sync runs/* --to tensorboard
      vctrain sync runs/RUN --all
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.evaluation.mirror.replay import replay

    results: list[dict[str, Any]] = []
    for run in runs:
        if not (run / "run.json").is_file():
            raise UsageError(f"{run} is no run directory", hint="name directories such as runs/NAME")
        done = replay(run, to.value, again=again)
        counts = done.events
        report = None if done.report is None else str(done.report)
        total = sum(counts.values())
        results.append({"run": str(run), "to": to.value, "events": total, **counts, "report": report})
        if done.gone:
            console.warn(f"{run}: pictures that are no longer there: {len(done.gone)}, such as {done.gone[0]}")
        if counts or report:
            beside = "" if report is None else f", and the report {report}"
            console.result(
                f"{run}: {total} events, {counts.get('validated', 0)} of them validations{beside}, to {to.value}"
            )
        else:
            console.result(f"{run}: {to.value} has everything already; --all hands it over again")
    if console.json_mode():
        shown = results[0] if len(results) == 1 else {"results": results}
        console.emit_json({"ok": True, "command": "sync", **shown})
