"""Which runs do names mean: run directories, folders of runs, sweeps with members that were never started?

Free of torch and pydantic: ``status`` and ``table`` are to be quick.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vctrain.errors import ContractError, UsageError

RUNS = Path("runs")
SWEEP = "sweep.json"
_LEFT_BY_A_RUN = ("run.json", "config.yaml", "events.jsonl", "checkpoints")
_MODEL = re.compile(r"  # .*, model (\S+)$", re.MULTILINE)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Member:
    """A run that exists, or one that a sweep plans."""

    path: Path
    """The run directory."""
    config: Path
    """Its settings: those of the run directory, or of the sweep while there is none."""
    planned: Path | None = None
    """Of a sweep: the settings that it wrote for this member."""

    @property
    def started(self) -> bool:
        """Whether there is a run directory."""
        return self.path.exists()

    def ended_with(self) -> int | None:
        """The exit code that the scripts of a sweep wrote down; None where they did not."""
        try:
            return int((self.planned or self.config).with_suffix(".exit").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def runs_at(targets: Sequence[Path]) -> list[Member]:
    """The runs that ``targets`` mean, each once, in the order given; without targets those of ``runs/``, newest first.

    UsageError if a target is no run directory and holds none.
    """
    if not targets:
        if not RUNS.is_dir():
            raise UsageError(f"there is no {RUNS}/ here", hint="give run directories, or a folder that holds some")
        return sorted(_at(RUNS), key=lambda member: _written(member.path), reverse=True)
    found = [member for target in targets for member in _at(target)]
    return list({member.path.resolve(): member for member in found}.values())


def _at(target: Path) -> list[Member]:
    if not target.is_dir():
        what = "is a file" if target.exists() else "does not exist"
        raise UsageError(f"{target} {what}", hint="give run directories, folders of runs, or sweeps")
    if (target / SWEEP).exists():
        return list(_members(target))
    if _is_run(target):
        return [_as_run(target)]
    inside = [child for child in sorted(target.iterdir()) if child.is_dir() and not child.name.startswith(".")]
    found: list[Member] = []
    for child in inside:
        if (child / SWEEP).exists():
            found += _members(child)
        elif _is_run(child):
            found.append(_as_run(child))
    if not found:
        raise UsageError(f"{target} holds no run", hint="give run directories, folders of runs, or sweeps")
    return found


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in _LEFT_BY_A_RUN)


def _as_run(folder: Path) -> Member:
    return Member(folder, folder / "config.yaml")


def _members(sweep: Path) -> Iterator[Member]:
    """The members of a sweep in their order; ContractError if its index cannot be read."""
    index = sweep / SWEEP
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["members"]
        places = [(sweep / entry["run"], sweep / entry["config"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(
            f"{index} is not the index of a sweep ({type(error).__name__})", hint=f"give the runs in {sweep} by name"
        ) from error
    for run, config in places:
        yield Member(run, run / "config.yaml" if run.exists() else config, config)


def _written(run: Path) -> float:
    """When a run last wrote something down, seconds since the epoch."""
    times = [0.0]
    for name in ("run.json", "events.jsonl"):
        try:
            times.append((run / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)


def model_name(member: Member) -> str | None:
    """The name by which its model was chosen, from the comments in its settings; None for a model without a name."""
    for config in (member.planned, member.config):
        try:
            found = _MODEL.search("" if config is None else config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if found is not None:
            return found[1]
    return None


def stored_settings(member: Member) -> dict[str, Any]:
    """The settings as written, unchecked; ContractError if they cannot be read."""
    try:
        content = yaml.load(member.config.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ContractError(
            f"{member.config} cannot be read ({type(error).__name__})", hint="restore it; resume needs it too"
        ) from error
    if not isinstance(content, dict):
        raise ContractError(f"{member.config} holds no settings", hint="restore it; resume needs it too")
    return content
