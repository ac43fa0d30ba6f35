"""How is a run doing: state, progress, time left, best figure, what it has cost?

Derived from run.json, the lock, events.jsonl and config.yaml each time anew; whatever of them is damaged becomes a
state and a reason. Free of torch and pydantic.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.errors import ContractError
from vctrain.runs.cost import cost_of
from vctrain.runs.events import read_events, that_hold
from vctrain.runs.listing import Member, model_name, stored_settings
from vctrain.runs.lock import Held, held
from vctrain.runs.scores import Best, best_of
from vctrain.runs.spans import seconds_per_step

STARTING = ("created", "preempted", "interrupted", "failed")
"""States of run.json that mean "about to train" while somebody holds the lock."""
UNDER_WAY = ("running", "starting")
SETTLING_SECONDS = 30.0
"""How long a run may be without its lock just after its directory was made."""
_RESUME = "vctrain resume goes on from its last checkpoint"


@dataclass(frozen=True)
class Status:
    """A run as it is now. Times are seconds; what is not known is None."""

    name: str
    path: Path
    state: str
    """``starting``, ``running``, ``preempted``, ``interrupted``, ``failed``, ``done``; ``lost``: run.json says that it
    is running, but nobody writes any more; ``damaged``; ``not started``: a member of a sweep."""
    reason: str | None = None
    """Why it failed or is lost or damaged."""
    preset: str | None = None
    epoch: int | None = None
    """Epochs that were validated."""
    epochs: int | None = None
    step: int | None = None
    """Of the last validation."""
    steps: int | None = None
    eta_seconds: float | None = None
    """Time left at the pace of the last validations, if no early stopping ends it before; of running runs."""
    best: Best = field(default_factory=Best)
    seconds: float | None = None
    """For which it was under way, over all its starts."""
    device_hours: float | None = None
    host: str | None = None
    resumed: int = 0
    created: str | None = None
    updated: str | None = None
    settings: dict[str, Any] | None = None
    """As written, unchecked."""
    model: str | None = None
    """The name by which the model was chosen."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the settings."""
        found = {key: value for key, value in asdict(self).items() if key not in ("settings", "best")}
        return {**found, **self.best.as_dict()}


def status_of(member: Member, now: float | None = None) -> Status:
    """The status of a run or of a member of a sweep; never raises for what is damaged in it.

    ``now``: seconds since the epoch.
    """
    try:
        return _status_of(member, time.time() if now is None else now)
    except OSError as error:
        reason = f"{error.filename or member.path}: {error.strerror}"
        return Status(member.path.name, member.path, "damaged", reason)


def _status_of(member: Member, now: float) -> Status:
    name, path = member.path.name, member.path
    try:
        settings, odd = stored_settings(member), None
    except ContractError as error:
        settings, odd = None, error.message
    model = model_name(member)
    if not member.started:
        state, why = _before_its_start(member)
        return Status(name, path, state, why or odd, **_planned(settings), settings=settings, model=model)
    try:
        run = _run_json(path)
    except ContractError as error:
        return Status(name, path, "damaged", error.message, **_planned(settings), settings=settings, model=model)
    events = [event for event in read_events(path)[0] if _is_whole(event)]
    lock = held(path)
    state, reason = _state(run, lock, now)
    validated = [event for event in that_hold(events) if event["event"] == "validated"]
    seen = lock.seen if state == "lost" and lock is not None else None
    cost = cost_of(events, _devices(settings), now if state in UNDER_WAY else seen)
    planned = _planned(settings)
    step = max([_whole(run.get("step")) or 0, *(_whole(event.get("step")) or 0 for event in validated[-1:])])
    return Status(
        name,
        path,
        state,
        reason or odd,
        **planned,
        epoch=int(validated[-1]["epoch"]) + 1 if validated else 0,
        step=step,
        eta_seconds=_eta(events, step, planned["steps"], now) if state == "running" else None,
        best=best_of(path, validated, run.get("best_score")),
        seconds=cost["seconds"],
        device_hours=cost["device_hours"],
        host=lock.host if lock is not None and lock.gone is None else _section(run, "host").get("name"),
        resumed=_whole(run.get("resumed")) or 0,
        created=run.get("created"),
        updated=run.get("updated"),
        settings=settings,
        model=model,
    )


def _is_whole(event: Mapping[str, Any]) -> bool:
    """Whether an event holds what is read from its kind; files get damaged."""
    needed = {"resumed": ("step",), "validated": ("step", "epoch"), "pictures": ("step",)}.get(event["event"], ())
    return all(_whole(event.get(name)) is not None for name in needed)


def _run_json(run: Path) -> dict[str, Any]:
    path = run / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(f"no run.json in {run}", hint="it is no run any more") from None
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} cannot be read ({type(error).__name__})", hint="restore it") from error
    if not isinstance(content, dict) or not isinstance(content.get("state"), str):
        raise ContractError(f"{path} tells of no state", hint="restore it")
    return content


def _state(run: Mapping[str, Any], lock: Held | None, now: float) -> tuple[str, str | None]:
    """The state that run.json and the lock give together, and the reason for it."""
    written = str(run["state"])
    if lock is not None and lock.gone is None:
        return ("starting", None) if written in STARTING else (written, None)
    if written in ("running", "created"):
        if lock is not None:
            return "lost", f"{lock.gone} (host {lock.host}); {_RESUME}"
        if written == "created" and now - (_moment(run.get("created")) or 0.0) < SETTLING_SECONDS:
            return "starting", None
        return "lost", f"nobody holds its lock; {_RESUME}"
    error = run.get("error")
    return written, console.one_line(str(error)) if error else None


def _before_its_start(member: Member) -> tuple[str, str | None]:
    """A member of a sweep without a run directory: nobody tried yet, or it was refused or ended before it had one."""
    code = member.ended_with()
    if not code:
        return "not started", None
    return "failed", f"ended with {code} before it began; vctrain train --config {member.config} --dry-run tells why"


def _planned(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the settings say of preset, epochs and steps."""
    trainer = _section(settings, "trainer")
    epochs, each = _whole(trainer.get("max_epochs")), _whole(trainer.get("steps_per_epoch"))
    return {
        "preset": None if settings is None else settings.get("preset"),
        "epochs": epochs,
        "steps": epochs * each if epochs is not None and each is not None else None,
    }


def _devices(settings: Mapping[str, Any] | None) -> int:
    trainer = _section(settings, "trainer")
    return (_whole(trainer.get("devices")) or 1) * (_whole(trainer.get("nodes")) or 1)


def _section(settings: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    section = None if settings is None else settings.get(name)
    return section if isinstance(section, Mapping) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _eta(events: Sequence[Mapping[str, Any]], step: int, steps: int | None, now: float) -> float | None:
    pace, last = seconds_per_step(events)
    if pace is None or last is None or steps is None:
        return None
    return max(0.0, (steps - step) * pace - max(0.0, now - last))


def _moment(text: object) -> float | None:
    try:
        return datetime.datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
