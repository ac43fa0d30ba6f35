"""Which dataset configs does a path stand for, in the order in which the old system read them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.config.datasets import deep_merge
from vctrain.config.yaml_files import read_mapping
from vctrain.errors import UsageError
from vctrain.runs.migration.old import OldCheckpoint


@dataclass(frozen=True)
class Listed:
    """A dataset config before it is read: its content, the name it has where it gives none, and where it is."""

    content: Mapping[str, Any]
    fallback: str | None
    where: str


def listed_in(path: Path, old: OldCheckpoint) -> list[Listed]:
    """The dataset configs of ``path`` in the order in which the old system took them, as many as it was told to.

    UsageError if there are none, or several lists of them.
    """
    path = _chosen(path, old)
    most = old.hyperparameters.get("max_ds")
    entries = _from_file(path) if path.is_file() else _from_folder(path)
    return entries[:most] if type(most) is int and most > 0 else entries


def _chosen(path: Path, old: OldCheckpoint) -> Path:
    """``path``, or what is in it under the name by which the checkpoint knows its configs."""
    if not path.exists():
        raise UsageError(f"--dataset-configs {path} does not exist", hint="give a folder of YAMLs, or a parent YAML")
    recorded = old.text("cfg_dir")
    if path.is_dir() and recorded:
        inner = path / Path(recorded.rstrip("/")).name
        if inner.exists() and inner.name:
            return inner
    return path


def _from_file(path: Path) -> list[Listed]:
    content = read_mapping(path)
    if isinstance(content.get("datasets"), list):
        files = [entry.get("path") if isinstance(entry, dict) else entry for entry in content["datasets"]]
        wrong = [file for file in files if not isinstance(file, str)]
        if wrong:
            raise UsageError(f"datasets in {path} has {wrong[0]!r}, which is no path", hint="list paths of YAMLs")
        return [_complete(_beside(path, str(file))) for file in files]
    if "sessions" not in content:
        return [_complete(path)]
    if not isinstance(content["sessions"], list) or not isinstance(content.get("session_dir"), str):
        raise UsageError(f"{path} has sessions, but no list of them or no session_dir", hint="give a parent YAML")
    shared = {key: value for key, value in content.items() if key not in ("session_dir", "sessions")}
    entries = []
    for name in map(str, content["sessions"]):
        child = path.parent / content["session_dir"] / f"{name}.yaml"
        if not child.is_file():
            raise UsageError(f"session {name} of {path} has no config {child}", hint="put it there")
        entries.append(Listed(deep_merge(shared, read_mapping(child)), name, str(child)))
    return entries


def _beside(config: Path, file: str) -> Path:
    """A path in a config, from there or from here."""
    path = Path(file).expanduser()
    tried = [path] if path.is_absolute() else [config.parent / path, path]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise UsageError(f"{config} names {file}, which is not there", hint=f"tried {', '.join(map(str, tried))}")


def _complete(path: Path) -> Listed:
    return Listed(read_mapping(path), path.stem, str(path))


def _from_folder(folder: Path) -> list[Listed]:
    files = [file for file in sorted(folder.glob("*.yaml")) if "base" not in file.name]
    contents = {file: read_mapping(file) for file in files}
    parents = [file for file, content in contents.items() if "sessions" in content]
    if len(parents) > 1:
        raise UsageError(
            f"{folder} holds several parent configs: {', '.join(file.name for file in parents)}",
            hint=f"name the one it was trained with, such as --dataset-configs {parents[0]}",
        )
    if parents:
        return _from_file(parents[0])
    complete = [_complete(file) for file, content in contents.items() if "cids" in content]
    if not complete:
        raise UsageError(
            f"{folder} holds no dataset config (*.yaml with cids)",
            hint="give the folder of dataset YAMLs, or the parent YAML, that it was trained with",
        )
    return complete
