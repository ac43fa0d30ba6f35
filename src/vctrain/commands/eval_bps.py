"""``vctrain eval-bps``: exact bits per spike of checkpoints, as a table or JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.shown_scores import show_result
from vctrain.errors import UsageError

Targets = Annotated[
    list[str],
    typer.Argument(metavar="CKPT...", help="Checkpoint files or run directories.", autocompletion=completion.runs),
]
OnSplit = Annotated[options.Split, typer.Option("--split", help="Trials to evaluate on.")]
By = Annotated[options.By, typer.Option("--by", help="What the table has a row for.")]
Null = Annotated[
    options.Null,
    typer.Option("--null", help="Frames of which the null model has the mean rates."),
]
Paired = Annotated[
    bool,
    typer.Option("--paired", help="Compare the others with the first, on units and frames of both."),
]
Replicates = Annotated[
    int, typer.Option("--replicates", metavar="N", min=0, help="Resamplings of trials for 95 % intervals; 0: none.")
]
Rescale = Annotated[
    bool, typer.Option("--rescale", help="Give each unit's rates the gain and offset that fit its training frames.")
]
Ceilings = Annotated[
    bool, typer.Option("--ceilings", help="From repeats: CC_norm, FEVE, the PSTH oracle, and other figures.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute anew what an earlier evaluation kept.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Also write results.json, units.csv, units.parquet there."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Also write a page with pictures, report.html, and figures/ there."),
]


def eval_bps(
    context: typer.Context,
    targets: Targets,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.val,
    types: options.Types = None,
    by: By = options.By.session,
    null: Null = options.Null.evaluated,
    paired: Paired = False,
    replicates: Replicates = 2000,
    rescale: Rescale = False,
    ceilings: Ceilings = False,
    fresh: Fresh = False,
    out: Out = None,
    report: Report = None,
    devices: options.Devices = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate checkpoints on every frame of a split: bits per spike of each unit, session and overall.

    Without --data on the recordings a checkpoint was trained on; --data may name others of the same units, which
    are matched by cid. Intervals are 95 %, from resampled trials.

    \b
    Examples:
      vctrain eval-bps runs/RUN
      vctrain eval-bps runs/RUN/checkpoints/last.ckpt --split all
      vctrain eval-bps runs/* --types backimage --json
      vctrain eval-bps runs/RUN --data other_day.yaml
      vctrain eval-bps runs/BASELINE runs/OTHER --paired
      vctrain eval-bps runs/RUN --by unit --out results
      vctrain eval-bps runs/RUN --types fixrsvp --split all --ceilings
      vctrain eval-bps runs/BASELINE runs/OTHER --report report
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if paired and len(targets) < 2:
        raise UsageError("--paired compares checkpoints, and there is one", hint="name two or more, the baseline first")
    if paired and replicates == 0:
        raise UsageError("--paired needs resamplings of trials", hint="leave out --replicates 0")
    from vctrain.evaluation.evaluate import Question, evaluate_all
    from vctrain.evaluation.files import check_folder, write_results

    if out is not None:
        check_folder(out)
    if report is not None:
        from vctrain.evaluation.report.write import check_report, write_report

        check_report(report)
    question = Question(
        **options.question(context.params),
        null=null.value,
        devices=devices or 1,
        rescale=rescale,
        ceilings=ceilings,
        fresh=fresh,
    )
    results: list[dict[str, Any]] = []
    for result in evaluate_all(targets, question, compare=paired, replicates=replicates):
        results.append(result)
        show_result(result, by.value, baseline=results[0]["checkpoint"])
    if out is not None:
        console.note(f"wrote {', '.join(str(path) for path in write_results(results, out))}")
    if report is not None:
        written = write_report(report, results, targets, question, sys.argv)
        console.note(f"wrote {report / 'report.html'} and the figures of it")
        for page in written[:1]:
            _tell_runs(results, page)
    if console.json_mode():
        shown = results[0] if len(results) == 1 else {"results": results}
        console.emit_json({"ok": True, "command": "eval-bps", **shown})


def _tell_runs(results: Sequence[Mapping[str, Any]], page: Path) -> None:
    """Write the report down in the runs that it is of, and say what can be done with that."""
    from vctrain.runs.reports import note_report

    told = [note_report(Path(result["checkpoint"]), page) for result in results]
    for run, why_not in dict.fromkeys(found for found in told if found is not None):
        if why_not is not None:
            console.note(f"{run} could not be told of the report: {why_not}")
        elif (run / "wandb").is_dir():
            console.note(f"vctrain sync {run} uploads the report to Weights & Biases")
