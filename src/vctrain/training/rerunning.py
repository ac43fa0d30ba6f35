"""How is a run trained again from its own config.yaml, and is it on the same recordings and base?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.config.resolve import FLAGS, read_provenance, read_settings
from vctrain.config.schema import Settings
from vctrain.data.session import Session
from vctrain.errors import ContractError, UsageError
from vctrain.runs.checkpoint_files import BEST
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.circumstances import differences, same_metrics
from vctrain.runs.directory import plan_run_dir, read_run
from vctrain.runs.events import read_events
from vctrain.training.fit import train
from vctrain.training.prepare import Prepared
from vctrain.training.resuming import changes
from vctrain.training.starting import Started

_PLACES = ("data.path", "data.root")
_ALLOW = "restore it, or --allow-changed-data trains on what is there"


@dataclass(frozen=True)
class Again:
    """A run to be trained again."""

    run: Path
    settings: Settings
    provenance: Mapping[str, str]
    record: Mapping[str, Any]
    """run.json."""
    sessions: Sequence[Mapping[str, Any]]
    """As contract.json has them."""
    base: str | None
    """Digest of the weights that it began from, as its events tell."""

    @classmethod
    def of(cls, run: Path, data: str | None = None, checkpoint: str | None = None) -> Again:
        """What the run directory says; ``data`` and ``checkpoint`` are where recordings and base lie now.

        Raises ContractError if something that is needed is missing or damaged, UsageError for a base of a run without
        one.
        """
        config = run / "config.yaml"
        record = read_run(run)
        settings, provenance = read_settings(config), read_provenance(config)
        if data is not None:
            settings = settings.model_copy(update={"data": settings.data.model_copy(update={"path": data})})
            provenance["data.path"] = FLAGS["data.path"]
        base = settings.start.checkpoint
        if checkpoint is not None:
            if base is None:
                raise UsageError(f"--checkpoint: {run} began from no checkpoint", hint="leave it out")
            start = settings.start.model_copy(update={"checkpoint": checkpoint})
            settings = settings.model_copy(update={"start": start})
            provenance["start.checkpoint"] = FLAGS["start.checkpoint"]
        elif base is not None and not Path(base).exists():
            raise ContractError(
                f"{run} began from {base}, which is not there any more",
                hint="restore it, or say where it is now with --checkpoint",
            )
        loaded = [event for event in read_events(run)[0] if event["event"] == "loaded"]
        digest = loaded[-1].get("weights") if loaded else None
        return cls(run, settings, provenance, record, _contract(run), digest)


def rerun(again: Again, *, run_dir: Path | None, allow_changed_data: bool, argv: Sequence[str]) -> dict[str, Any]:
    """Train again; what `train` returns, with ``rerun_of``, ``differences`` and ``same_digits`` (None where the first
    run has no end to compare with).

    Raises ContractError, before anything is created, if recordings or base are not those of the run.
    """
    planned = plan_run_dir(again.settings, again.provenance, run_dir)
    found = [*differences(again.record), *_history(again)]

    def accept(prepared: Prepared) -> None:
        changed = [*changed_sessions(again.sessions, prepared.sessions), *_changed_base(again, prepared.started)]
        if changed and not allow_changed_data:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise ContractError(f"{again.run}: {changed[0]}{more}; nothing was created", hint=_ALLOW)
        found.extend(changed)
        for line in found:
            console.note(f"not as in {again.run}: {line}")

    result = train(again.settings, run_dir=planned, provenance=again.provenance, argv=argv, accept=accept)
    same = same_metrics(again.run, planned) if again.record["state"] == "done" else None
    return {**result, "rerun_of": str(again.run), "differences": found, "same_digits": same}


def changed_sessions(stored: Sequence[Mapping[str, Any]], sessions: Sequence[Session]) -> list[str]:
    """A line for each session whose recording, units, trials or transforms are not those of the contract ``stored``."""
    now = {session.name: json.loads(console.to_json(session.describe())) for session in sessions}
    then = {str(entry["name"]): entry for entry in stored}
    lines = [f"session {name} is not in the data any more" for name in then if name not in now]
    lines += [f"session {name} is new in the data" for name in now if name not in then]
    for name in (name for name in then if name in now):
        keys = [key for key in {**then[name], **now[name]} if then[name].get(key) != now[name].get(key)]
        if "fingerprint" in keys:
            ours, theirs = (console.to_json(entry.get("fingerprint")) for entry in (now[name], then[name]))
            lines.append(f"session {name}: the recording is another one, fingerprint {ours} instead of {theirs}")
        elif keys:
            lines.append(f"session {name}: {', '.join(keys)} not as they were")
    return lines


def _changed_base(again: Again, started: Started | None) -> list[str]:
    if started is None or again.base is None or started.weights == again.base:
        return []
    return [f"the checkpoint {started.checkpoint.path} has other weights than when the run began from it"]


def _history(again: Again) -> list[str]:
    """What in the run's own history its config.yaml does not tell."""
    found = _edited(again)
    if again.settings.start.checkpoint is not None and again.base is None:
        found.append("it is not recorded which weights the run began from, so whether they are the same is not known")
    if again.record.get("resumed"):
        found.append("the run was resumed; if its length or devices were changed then, its first part was another")
    if any(event["event"] == "branched" for event in read_events(again.run)[0]):
        found.append("the run went on from a checkpoint of another one; now all of it is trained from the first step")
    return found


def _edited(again: Again) -> list[str]:
    """config.yaml may have been edited, or changed by a resume; the checkpoint tells what was trained."""
    if not (again.run / "checkpoints" / BEST).is_file():
        return []
    checkpoint = read_checkpoint(again.run / "checkpoints" / BEST)
    # that of a fine-tuned run may be its base's
    own = "model" in checkpoint.content["settings"]
    return [
        f"config.yaml has {c.path} {console.to_json(c.new)}, the best checkpoint {console.to_json(c.old)}"
        for c in changes(checkpoint.settings, again.settings, {})
        if c.path not in _PLACES and (own or not c.path.startswith("model."))
    ]


def _contract(run: Path) -> list[Mapping[str, Any]]:
    path = run / "contract.json"
    try:
        sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(
            f"{path} cannot be read ({type(error).__name__}), so nobody knows what the run was trained on",
            hint=f"vctrain train --config {run / 'config.yaml'} trains without a comparison",
        ) from error
    return list(sessions)
