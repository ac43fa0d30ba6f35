"""How is what ``inspect`` found shown to people?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vctrain import console
from vctrain.commands.model_table import show_model
from vctrain.commands.render import figure

Facts = Mapping[str, Any]


def show(kind: str, result: Facts) -> None:
    """Tables of the result of ``inspect``, its notes, and then the problems, each with what to do about it."""
    {"dset": _dset, "session": _session, "config": _config, "checkpoint": _checkpoint, "run": _run}[kind](result)
    for note in result["notes"]:
        console.note(note)
    problems = result["problems"]
    console.result("")
    if not problems:
        console.result("no problems found")
    for problem in problems:
        refused = " (vctrain refuses it as it is)" if problem["blocks"] else ""
        console.result(f"problem{refused}: {problem['where']}: {problem['what']}")
        console.result(f"  hint: {problem['hint']}")
    if result["plot"] is not None:
        console.result(f"sheet  {result['plot']}")


def duration(seconds: float | None) -> str:
    """Seconds for people.

    >>> duration(31.24), duration(958.7), duration(7300.0), duration(None)
    ('31.2 s', '16.0 min', '2.03 h', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def _number(value: float | None, form: str = "g") -> str:
    return "-" if value is None else format(value, form)


def _dset(facts: Facts) -> None:
    rows = [
        [
            covariate["name"],
            covariate["dtype"],
            "x".join(map(str, covariate["shape"])) or "one number",
            _number(covariate["min"]),
            _number(covariate["max"]),
            str(covariate["not_finite"]),
        ]
        for covariate in facts["covariates"]
    ]
    console.table(
        f"{facts['session']} {facts['type']}", ["covariate", "type", "shape", "least", "greatest", "not finite"], rows
    )
    console.result("")
    for name, text in _lines_of(facts):
        console.result(f"{name:<13}{text}")
    for key, value in facts["metadata"].items():
        console.result(f"metadata     {key}: {console.to_json(value)}")


def _lines_of(facts: Facts) -> list[tuple[str, str]]:
    """What is said of a recording in words."""
    lines = [("frames", f"{facts['frames']:,}, {duration(facts['seconds'])} at {_number(facts['rate_hz'])} Hz")]
    units, trials, movie = facts["units"], facts["trials"], facts["movie"]
    if units is not None:
        rates = ""
        if units["rates_hz"]:
            least, most = min(units["rates_hz"]), max(units["rates_hz"])
            rates = f", mean rate {units['mean_rate_hz']:.2f} Hz ({least:.2f} to {most:.2f})"
        lines.append(("units", f"{units['n']}{rates}"))
    if trials is not None and trials["n"]:
        unit = " s" if trials["length_in"] == "seconds" else " frames"
        among = f"{trials['shortest']:.3g} to {trials['longest']:.3g}"
        lines.append(("trials", f"{trials['n']} of {trials['median']:.3g}{unit} (median; {among})"))
    if facts["time"] is not None:
        pauses = facts["time"]["between_trials"]
        lines.append(("pauses", f"{pauses['gaps']} between trials, {duration(pauses['seconds'])} in all"))
    if facts["eye"] is not None:
        eye = facts["eye"]
        unit = "s" if eye["loss_in"] == "seconds" else "frames"
        lost = f", lost {eye['losses']:,} times, for {eye['longest_loss']:.3g} {unit} at most" if eye["losses"] else ""
        lines.append(("tracking", f"valid {100 * eye['valid_fraction']:.1f} %{lost}"))
    if movie is not None:
        lines.append(("movie", f"mean grey {movie['mean']:.1f}, contrast {movie['contrast']:.2f}"))
    return [*lines, ("fingerprint", facts["fingerprint"] or "-")]


_RECORDING_COLUMNS = ["session", "type", "frames", "lasts", "Hz", "size", "units", "mean Hz", "trials", "valid"]


def _recording_row(facts: Facts) -> list[str]:
    units, trials, eye = facts["units"], facts["trials"], facts["eye"]
    return [
        facts["session"],
        facts["type"],
        f"{facts['frames']:,}",
        duration(facts["seconds"]),
        _number(facts["rate_hz"]),
        "-" if facts["size"] is None else "x".join(map(str, facts["size"])),
        "-" if units is None else str(units["n"]),
        "-" if units is None else _number(units["mean_rate_hz"], ".2f"),
        "-" if trials is None else str(trials["n"]),
        "-" if eye is None else f"{100 * eye['valid_fraction']:.1f} %",
    ]


def _session(facts: Facts) -> None:
    rows = [_recording_row(recording) for recording in facts["recordings"].values()]
    console.table("", _RECORDING_COLUMNS, rows)


def _config(facts: Facts) -> None:
    rows = [_recording_row(recording) for session in facts["sessions"] for recording in session["recordings"].values()]
    console.table("recordings", _RECORDING_COLUMNS, rows)
    opened = [session["opened"] for session in facts["sessions"] if session["opened"] is not None]
    splits = list(dict.fromkeys(split for seen in opened for split in seen["scored"]))
    reasons = list(dict.fromkeys(reason for seen in opened for reason, n in seen["dropped"].items() if n))
    columns = ["session", "units", "Hz", "frames", *(f"{split} scored" for split in splits), *reasons, "behavior"]
    table = [_session_row(session, splits, reasons) for session in facts["sessions"]]
    dropped = f"; dropped: {', '.join(reasons)}" if reasons else ""
    console.result("")
    console.table(f"frames of the twin with a context of {facts['context']}{dropped}", columns, table)
    console.result("")
    for line in _transform_lines(facts["sessions"]):
        console.result(line)


def _session_row(session: Facts, splits: Sequence[str], reasons: Sequence[str]) -> list[str]:
    seen, cids = session["opened"], session["cids"]
    units = "all" if cids is None else str(len(cids))
    if seen is None:
        return [session["session"], units, *["-"] * (3 + len(splits) + len(reasons))]
    counts = [seen["scored"].get(split) for split in splits] + [seen["dropped"].get(reason) for reason in reasons]
    shown = ["-" if n is None else f"{n:,}" for n in counts]
    rate, frames = f"{seen['rate_hz']:g}", f"{seen['frames']:,}"
    return [session["session"], units, rate, frames, *shown, str(seen["behavior_dim"])]


def _transform_lines(sessions: Sequence[Facts]) -> list[str]:
    """What is done to the covariates, and how trials are split; said once for sessions that agree."""
    said: dict[str, list[str]] = {}
    for session in sessions:
        movie = ", ".join(next(iter(op)) for op in session["transforms"]["stim"]) or "as stored"
        signals = [
            f"{signal['source']} ({', '.join(next(iter(op)) for op in signal['ops']) or 'as it is'})"
            for signal in session["transforms"]["behavior"]
        ]
        sampling, split = session["sampling"], session["split"]
        rates = (
            f"{sampling['source_rate']:g} to {sampling['target_rate']:g} Hz" if sampling["source_rate"] else "as stored"
        )
        fractions = ", ".join(f"{fraction:g}" for fraction in split["train_val_split"])
        text = f"movie {movie}; behavior {' + '.join(signals) or 'none'}; sampling {rates}; "
        text += f"split {fractions} with seed {split['seed']}"
        if session["missing_pct"] is not None:
            text += f"; missing_pct below {session['missing_pct']['threshold']:g}"
        said.setdefault(text, []).append(session["session"])
    if len(said) == 1:
        return [f"all sessions: {text}" for text in said]
    return [f"{', '.join(names)}: {text}" for text, names in said.items()]


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
    console.table(
        "sessions",
        ["session", "subject", "units", "types", "Hz", "size", "behavior", "split", "fingerprint"],
        [_stored_row(session) for session in facts["sessions"]],
    )
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


def _stored_row(session: Facts) -> list[str]:
    """A migrated checkpoint does not know everything."""
    split = session["split"]
    fractions = "" if split is None else ", ".join(f"{fraction:g}" for fraction in split["train_val_split"])
    return [
        session["name"],
        session["subject"],
        str(len(session["cids"])),
        ",".join(session["types"] or ["-"]),
        _number(session["rate_hz"]),
        "-" if session["size"] is None else "x".join(map(str, session["size"])),
        "-" if session["behavior_dim"] is None else str(session["behavior_dim"]),
        "-" if split is None else f"{fractions} seed {split['seed']}",
        ",".join((session["fingerprint"] or {"": "-"}).values()),
    ]


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
