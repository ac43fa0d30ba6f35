"""How is what ``inspect`` found shown to people?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vctrain import console
from vctrain.commands.model_table import show_model
from vctrain.commands.recording_tables import show_configured, show_dset, show_recordings, show_rows
from vctrain.commands.render import duration, figure
from vctrain.data.inspection.findings import listed

Facts = Mapping[str, Any]


def show(kind: str, result: Facts) -> None:
    """Tables of the result of ``inspect``, its notes, and then the problems, each with what to do about it."""
    {"dset": show_dset, "session": _session, "config": _config, "checkpoint": _checkpoint, "run": _run}[kind](result)
    of: dict[str, list[str]] = {}
    for note in result["notes"]:
        where, _, text = note.partition(": ")
        of.setdefault(text, []).append(where)
    for text, wheres in of.items():
        console.note(f"{listed(wheres, 3)}: {text}" if text else listed(wheres, 3))
    problems = result["problems"]
    console.result("")
    if not problems:
        console.result("no problems found")
    # what calls for the same stands together
    for hint in dict.fromkeys(problem["hint"] for problem in problems):
        for problem in problems:
            if problem["hint"] == hint:
                refused = " (vctrain refuses it as it is)" if problem["blocks"] else ""
                console.result(f"problem{refused}: {problem['where']}: {problem['what']}")
        console.result(f"  hint: {hint}")
    if result["plot"] is not None:
        console.result(f"sheet  {result['plot']}")


def _session(facts: Facts) -> None:
    show_recordings(facts["recordings"].values())


def _config(facts: Facts) -> None:
    show_recordings(recording for session in facts["sessions"] for recording in session["recordings"].values())
    console.result("")
    show_configured(facts)


def _checkpoint(facts: Facts) -> None:
    console.result(str(facts["path"]))
    score = figure(facts["best_score"])
    origin = facts["origin"] or {}
    trained = facts if facts["step"] is not None else origin
    at = "-" if trained.get("step") is None else f"step {trained['step']:,}, epoch {trained['epoch']}"
    resumable = "with training state" if facts["resumable"] else "without training state"
    console.result(f"{at}; val_bps_overall {score}; context {facts['context']} frames; {resumable}")
    written_by = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    console.result(f"preset {facts['preset'] or '-'}; written by {written_by}")
    if origin:
        console.result(", ".join(filter(None, [f"from {origin.get('file')}", origin.get("generation")])))
    console.result("")
    shared = {"size": "{} pixels", "Hz": "{} Hz", "behavior": "{} behavior columns", "split": "split {}"}
    show_rows("session", [_stored_row(session) for session in facts["sessions"]], shared)
    parameters = facts["parameters"]
    console.result("")
    console.table(
        f"{parameters['total']:,} parameters: {parameters['core']:,} core, {parameters['heads']:,} heads",
        ["part", "tensors", "parameters"],
        [[part["part"], str(part["tensors"]), f"{part['parameters']:,}"] for part in parameters["parts"]],
    )
    changed = {path: of for path, of in facts["changed_settings"].items() if not path.startswith("model.")}
    console.result("")
    if facts["components"] is not None:
        show_model(facts)
        console.result("")
    model = ", ".join(f"{part} {what}" for part, what in facts["model"].items())
    console.result(f"model: {model}")
    for path, of in changed.items():
        console.result(f"{path} = {console.to_json(of['value'])}  (default {console.to_json(of['default'])})")


def _stored_row(session: Facts) -> dict[str, str]:
    """A migrated checkpoint does not know everything."""
    split = session["split"]
    fractions = "" if split is None else ", ".join(f"{fraction:g}" for fraction in split["train_val_split"])
    return {
        "session": session["name"],
        "subject": session["subject"],
        "units": str(len(session["cids"])),
        "types": ",".join(session["types"] or ["-"]),
        "size": "-" if session["size"] is None else "x".join(map(str, session["size"])),
        "Hz": "-" if session["rate_hz"] is None else f"{session['rate_hz']:g}",
        "behavior": "-" if session["behavior_dim"] is None else str(session["behavior_dim"]),
        "split": "-" if split is None else f"{fractions} seed {split['seed']}",
    }


def _run(facts: Facts) -> None:
    planned = "" if facts["steps_planned"] is None else f" of {facts['steps_planned']:,}"
    console.result(str(facts["run"]))
    console.result(
        f"{facts['state']}; step {facts['step'] or 0:,}{planned}; {facts['validations']} validations; "
        f"best val_bps_overall {figure(facts['best_score'])}; took {duration(facts['seconds'])}"
    )
    console.result(f"started {facts['created']}, updated {facts['updated']}")
    host, git = facts["host"] or {}, facts["git"] or {}
    dirty = ", with changes" if git.get("dirty") else ""
    console.result(f"on {host.get('name', '-')}, vctrain at {str(git.get('commit') or '-')[:10]}{dirty}")
    console.result(str(facts["command_line"]))
    if facts["checkpoint"] is not None:
        console.result("")
        _checkpoint(facts["checkpoint"])
