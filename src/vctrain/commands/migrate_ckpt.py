"""``vctrain migrate-ckpt``: checkpoints of the earlier systems become current ones that predict the same."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.errors import VctrainError


class Semantics(StrEnum):
    """Which version of the old code computed."""

    old = "old"
    old_antialias = "old-antialias"
    head = "head"


Target = Annotated[Path, typer.Argument(metavar="OLD", help="A checkpoint, or a directory of them.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="NEW", help="File or directory [default: beside OLD, as .pt].")
]
ModelConfig = Annotated[
    Path | None,
    typer.Option(
        "--model-config",
        metavar="YAML",
        help="Model config it was trained with, or a folder with it; for a frozen core, the pretrained checkpoint.",
    ),
]
DatasetConfigs = Annotated[
    Path | None,
    typer.Option("--dataset-configs", metavar="PATH", help="Folder of its dataset YAMLs, or its parent YAML."),
]
OfCode = Annotated[
    Semantics | None,
    typer.Option(
        "--semantics", help="Which old code computed, where the checkpoint does not tell.", show_default=False
    ),
]
Check = Annotated[
    Path | None,
    typer.Option("--check", metavar="BATCH.npz", help="Inputs and rates of the old code (stim_0, ..., rates_0, ...)."),
]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", metavar="X", min=0.0, help="Largest relative difference from --check [default: 1e-5]."),
]


def migrate_ckpt(
    old: Target,
    output: Output = None,
    model_config: ModelConfig = None,
    dataset_configs: DatasetConfigs = None,
    semantics: OfCode = None,
    check: Check = None,
    tolerance: Tolerance = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Turn checkpoints of the earlier systems into .pt files that every command takes and that predict the same.

    Configs and units come from the checkpoint where it holds them, else from the files named. Nothing that a checkpoint
    pickles is run. What cannot be settled is refused; an existing file is never replaced.

    \b
    Examples:
      vctrain migrate-ckpt old.ckpt --model-config learned_res_small_gru.yaml --dataset-configs multi_basic_120/
      vctrain migrate-ckpt old.ckpt --dataset-configs parent.yaml -o twin.pt --check batch.npz
      vctrain migrate-ckpt checkpoints/ -o migrated/ --dataset-configs parent.yaml --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.runs.migration.check import TOLERANCE
    from vctrain.runs.migration.many import plan
    from vctrain.runs.migration.migrate import Sources, migrate

    sources = Sources(
        model_config,
        dataset_configs,
        None if semantics is None else semantics.value,
        check,
        TOLERANCE if tolerance is None else tolerance,
    )
    pairs = plan(old, output)
    if not old.is_dir():
        result = migrate(*pairs[0], sources)
        _show(result)
        if console.json_mode():
            console.emit_json({"ok": True, "command": "migrate-ckpt", **result})
        return
    results: list[dict[str, Any]] = []
    failures: list[VctrainError] = []
    for source, destination in pairs:
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            results.append({"ok": True, **migrate(source, destination, sources)})
        except VctrainError as error:
            failures.append(error)
            results.append({"ok": False, "checkpoint": str(source), "error": error.as_dict()})
    _show_all(results)
    _end(results, failures)


def _end(results: list[dict[str, Any]], failures: list[VctrainError]) -> None:
    """The one object of ``--json``; if some could not be migrated, the exit code of the first of them."""
    if not failures:
        if console.json_mode():
            console.emit_json({"ok": True, "command": "migrate-ckpt", "results": results})
        return
    message = f"{len(failures)} of {len(results)} checkpoints were not migrated; the first: {failures[0].message}"
    console.error(message, failures[0].hint)
    if console.json_mode():
        error = {"code": failures[0].code, "message": console.one_line(message), "hint": failures[0].hint}
        console.emit_json({"ok": False, "command": "migrate-ckpt", "error": error, "results": results})
    raise typer.Exit(failures[0].code)


def _difference(result: Mapping[str, Any]) -> str:
    return "-" if result["check"] is None else f"{result['check']['max_rel']:.1e}"


def _show(result: Mapping[str, Any]) -> None:
    console.result(str(result["output"]))
    console.result(f"{result['generation']}, semantics {result['semantics']} ({result['semantics_told_by']})")
    console.result(f"sessions: {', '.join(f'{name} {n} units' for name, n in result['sessions'].items())}")
    optimizer = result["optimizer"]
    moments = f"optimizer moments of {optimizer['mapped']}" if optimizer["mapped"] else "no optimizer moments"
    reason = f" ({optimizer['reason']})" if optimizer["reason"] else ""
    console.result(f"mapped {result['mapped']} tensors and {moments}{reason}; dropped {len(result['dropped'])}")
    for why, names in _by_reason(result["dropped"]).items():
        console.result(f"  dropped {', '.join(names)}: {why}")
    if result["check"] is not None:
        console.result(f"check: largest relative difference {_difference(result)}")
    for note in result["notes"]:
        console.note(note)


def _by_reason(dropped: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, why in dropped.items():
        grouped.setdefault(why, []).append(name)
    return grouped


def _show_all(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        if not result["ok"]:
            rows.append([result["checkpoint"], "-", "-", "-", "-", "-", result["error"]["message"]])
            continue
        sessions = result["sessions"]
        units = f"{sum(sessions.values())} in {len(sessions)}"
        counts = [str(result["mapped"]), str(len(result["dropped"]))]
        generation = f"{result['generation']} ({result['semantics']})"
        rows.append([result["checkpoint"], generation, units, *counts, _difference(result), result["output"]])
    columns = ["checkpoint", "generation", "units", "mapped", "dropped", "max_rel", "output"]
    console.table("", columns, rows)
    for note in dict.fromkeys(note for result in results if result["ok"] for note in result["notes"]):
        console.note(note)
