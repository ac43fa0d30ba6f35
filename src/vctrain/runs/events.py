"""What do the events of a run say, from any place on, and as figures by step?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

EVENTS = "events.jsonl"
_SESSION = "val_bps/"
_RENAMED = {
    "val_bps_overall": "val/bps_overall",
    "fraction_of_oracle": "val/fraction_of_oracle",
    "train_loss": "train/loss",
    "aux_loss": "train/aux_loss",
}
_SAME = ("lr", "curriculum_alpha")
_SHARES = {"session_shares": "share/session", "subject_shares": "share/subject"}
_PACE = ("frames_per_second", "step_seconds", "data_wait")
_OF_A_STEP = ("validated", "pictures")


def read_events(run_dir: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The events whose lines begin at byte ``start`` or after, and the byte after the last whole line.

    A line that is not whole yet is left for the next time; one that a crash cut off, and others followed, is no event.
    """
    try:
        with (run_dir / EVENTS).open("rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return [], start
    whole = text[: text.rfind(b"\n") + 1]
    return [event for line in whole.splitlines() if (event := _event(line)) is not None], start + len(whole)


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def that_hold(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events without the validations, and their pictures, of steps that a resumed run took again."""
    held: list[Mapping[str, Any]] = []
    for event in events:
        if event["event"] == "resumed":
            # the validation at that very step is made again if the checkpoint was written before it
            last = event["step"] if event.get("validated", True) else event["step"] - 1
            held = [e for e in held if e["event"] not in _OF_A_STEP or e["step"] <= last]
        held.append(event)
    return held


def figures_of(event: Mapping[str, Any], subjects: Mapping[str, str]) -> dict[str, float]:
    """The figures of a validation by the name under which they are shown: ``val/``, ``val_bps/SESSION``,
    ``val_bps_of_subject/``, ``train/``, ``penalty/``, ``share/``, ``pace/``.

    ``subjects`` has the subject of each session; a subject's figure is the mean over its sessions.
    """
    found: dict[str, Any] = {}
    by_subject: dict[str, list[float]] = {}
    for name, value in event.items():
        if name in _RENAMED:
            found[_RENAMED[name]] = value
        elif name in _SHARES:
            found |= {f"{_SHARES[name]}/{whose}": share for whose, share in value.items()}
        elif name in _PACE:
            found[f"pace/{name}"] = value
        elif name in _SAME or name.startswith(("penalty/", _SESSION)):
            found[name] = value
        if name.startswith(_SESSION) and value is not None:
            by_subject.setdefault(subjects.get(name.removeprefix(_SESSION), ""), []).append(value)
    found |= {f"val_bps_of_subject/{subject}": sum(v) / len(v) for subject, v in by_subject.items() if subject}
    return {name: float(value) for name, value in found.items() if value is not None}


def subjects_of(run_dir: Path) -> dict[str, str]:
    """The subject of each session of a run, as its contract.json says."""
    try:
        contract = json.loads((run_dir / "contract.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {session["name"]: session["subject"] for session in contract["sessions"]}
