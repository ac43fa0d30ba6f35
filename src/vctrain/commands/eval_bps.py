"""``vctrain eval-bps``: exact bits per spike of checkpoints, as a table or JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.render import figure, share
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
        for text in result["notes"]:
            console.note(text)
        if result["reused"]:
            console.note(f"reused {', '.join(result['reused'])}; --fresh computes anew")
        if not console.json_mode():
            show_scores(result, by.value)
            if ceilings:
                _show_ceilings(result["ceilings"])
            if "paired" in result:
                _show_paired(results[0]["checkpoint"], result["paired"])
    if out is not None:
        console.note(f"wrote {', '.join(str(path) for path in write_results(results, out))}")
    if report is not None:
        write_report(report, results, targets, question, sys.argv)
        console.note(f"wrote {report / 'report.html'} and the figures of it")
    if console.json_mode():
        shown = results[0] if len(results) == 1 else {"results": results}
        console.emit_json({"ok": True, "command": "eval-bps", **shown})


def show_scores(result: Mapping[str, Any], by: str) -> None:
    """The figures of one checkpoint as a table with a row for each unit, session, subject or type."""
    columns, rows = _ROWS[by](result)
    console.table(f"{result['checkpoint']}, split {result['split']}", columns, rows)
    overall = f"bps_overall {figure(result['bps_overall'])}{_ends(result['bps_overall_interval'])}"
    if result["fraction_of_oracle"] is not None:
        overall += f", {share(result['fraction_of_oracle'])} of the oracle's {figure(result['oracle_bps_overall'])}"
    console.result(overall)
    counted = f"{result['n_units']} units, {result['n_frames']:,} frames, {result['n_spikes']:,} spikes"
    over_units, clamped = figure(result["bps_over_units"]), figure(result["bps_overall_clamped"])
    console.result(f"{counted}; over units {over_units}, negative values as 0 {clamped}")


def _by_session(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, session in result["sessions"].items():
        scored = session["n_units"] - session["n_units_without_spikes"]
        units = str(session["n_units"]) if scored == session["n_units"] else f"{scored} of {session['n_units']}"
        ends = _ends(session.get("interval")).strip()
        rows.append([name, units, str(session["n_frames"]), str(session["n_spikes"]), figure(session["bps"]), ends])
    return ["session", "units", "frames", "spikes", "bps", "95 %"], rows


def _by_unit(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, session in result["sessions"].items():
        for cid, bps in session["units"].items():
            ends = _ends((session.get("unit_intervals") or {}).get(cid)).strip()
            frames, spikes = str(session["unit_frames"][cid]), str(session["unit_spikes"][cid])
            rows.append([name, cid, frames, spikes, figure(bps), ends])
    return ["session", "cid", "frames", "spikes", "bps", "95 %"], rows


def _by_subject(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, str(len(found["sessions"])), str(found["n_units"]), figure(found["bps"])]
        for name, found in result["subjects"].items()
    ]
    return ["subject", "sessions", "units", "bps"], rows


def _by_type(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for name, found in result["types"].items():
        oracle = "" if found["fraction_of_oracle"] is None else share(found["fraction_of_oracle"])
        counted = [str(len(found["sessions"])), str(found["n_frames"]), str(found["n_spikes"])]
        rows.append([name, *counted, figure(found["bps_overall"]), oracle])
    return ["type", "sessions", "frames", "spikes", "bps", "of oracle"], rows


_ROWS = {"session": _by_session, "unit": _by_unit, "subject": _by_subject, "type": _by_type}


def _show_paired(baseline: str, found: Mapping[str, Any]) -> None:
    better = f"{found['n_units_better']} of {found['n_units']} units better"
    console.result(
        f"minus {baseline}: {figure(found['difference'])}{_ends(found['interval'])}, {better}; "
        f"p {found['p_bootstrap']:.2g} over trials, {found['p_wilcoxon']:.2g} over units (Wilcoxon)"
    )


def _show_ceilings(found: Mapping[str, Any]) -> None:
    names = ("cc_norm", "cc_max", "cc_abs", "feve", "single_trial", "bps", "psth_oracle_bps")
    rows = []
    for session, types in found["sessions"].items():
        for kind, of_type in types.items():
            units = f"{of_type['n_units_with_value']} of {len(of_type['units'])}"
            counted = [str(of_type["n_repeats"]), str(of_type["n_bins"]), units]
            rows.append([session, kind, *counted, *(figure(of_type["mean"][name]) for name in names)])
    columns = ["session", "type", "repeats", "bins", "units", *(name.replace("_", " ") for name in names)]
    console.table("ceilings from repeats, means over units", columns, rows)
    overall = found["overall"]
    console.result(f"cc_norm {figure(overall['cc_norm'])}, feve {figure(overall['feve'])}")


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"
