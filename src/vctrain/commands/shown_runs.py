"""How are the plan and the figures of a run shown to people and scripts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vctrain import console, sparklines
from vctrain.commands.render import figure, share
from vctrain.config.layers import leaves
from vctrain.config.resolve import Resolved


def show_plan(command: str, resolved: Resolved, described: Mapping[str, Any], run_dir: str) -> None:
    """What ``--dry-run`` of ``command`` found: every setting with its source, sessions, schedule, parameters."""
    settings = dict(leaves(resolved.settings.model_dump(mode="json")))
    if console.json_mode():
        plan = {
            "ok": True,
            "command": command,
            "dry_run": True,
            "run": run_dir,
            "settings": resolved.settings.model_dump(mode="json"),
            "provenance": resolved.provenance,
        }
        console.emit_json(plan | dict(described))
        return
    rows = [[path, console.to_json(value), resolved.provenance[path]] for path, value in settings.items()]
    console.table("settings", ["setting", "value", "from"], rows)
    sessions: Sequence[Mapping[str, Any]] = described["sessions"]
    every = ("name", "subject", "units", "frames", "train_frames", "val_frames", "clips", "weight")
    columns = [name for name in every if all(name in session for session in sessions)]
    console.result("")
    rows = [[_cell(session[name]) for name in columns] for session in sessions]
    console.table("sessions; clips a step and weight in the loss, on average", columns, rows)
    if described.get("schedule"):
        console.result("")
        shown = [[_cell(value) for value in row.values()] for row in described["schedule"]]
        console.table("schedule", list(described["schedule"][0]), shown)
    if described.get("curves"):
        curves = dict(described["curves"])
        steps = curves.pop("step")
        console.result("")
        console.table(
            f"steps {steps[0]:,} to {steps[-1]:,}, left to right; each between its own least and largest",
            sparklines.COLUMNS,
            sparklines.rows(curves),
        )
    _show_parameters(described)
    if described["parameters"] is not None:
        core, head = described["parameters"]["core"], described["parameters"]["head"]
        context = described["context"]
        console.result(f"\nparameters: {core + head:,} ({core:,} core, {head:,} heads); context {context} frames")
    for line in described.get("notes", ()):
        console.note(line)
    console.result(f"would create {run_dir}")


def _show_parameters(described: Mapping[str, Any]) -> None:
    """Groups of the optimizer, and the tensors that each regularizer touches."""
    if described.get("groups"):
        columns = ("name", "lr", "weight_decay", "tensors", "size")
        rows = [[_cell(group[column]) for column in columns] for group in described["groups"]]
        console.result("")
        console.table("parameter groups", ["group", *columns[1:]], rows)
    if described.get("regularizers"):
        rows = [
            [entry["name"], entry["type"], str(entry["tensors"]), str(entry["size"]), ", ".join(entry["families"])]
            for entry in described["regularizers"]
        ]
        console.result("")
        console.table("regularizers", ["regularizer", "type", "tensors", "size", "names"], rows)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_result(command: str, result: Mapping[str, Any]) -> None:
    """The figures of a run, and what it took from a checkpoint: one JSON object, or a table."""
    if console.json_mode():
        console.emit_json({"ok": True, "command": command, **result})
        return
    rows = [[name, figure(value)] for name, value in result["val_bps"].items()]
    console.table("", ["session", "val_bps"], rows)
    overall = f"val_bps_overall {figure(result['val_bps_overall'])}"
    if result["fraction_of_oracle"] is not None:
        overall += f", {share(result['fraction_of_oracle'])} of the oracle's {figure(result['oracle_bps_overall'])}"
    console.result(f"{overall}; {result['steps']} steps in {result['seconds']:.0f} s")
    if "tensors" in result:
        taken, vision = result["tensors"], result["vision"]
        line = f"loaded {taken['loaded']}/{taken['of']} tensors, changed {taken['changed']}, frozen {taken['frozen']}"
        console.result(f"{line}{', unchanged at the end' if vision['unchanged_at_end'] else ''}")
    if "features" in result:
        features = result["features"]
        console.result(
            f"features {features['bytes']:,} bytes in {features['folder']}: {features['written']:,} written, "
            f"{features['reused']:,} reused"
        )
    for other in filter(None, [result.get("scratch")]):
        console.result(f"from scratch in the same steps: val_bps_overall {figure(other['val_bps_overall'])}")
    console.result(f"run         {result['run']}")
    console.result(f"checkpoint  {result['checkpoint']}")
