"""Which model does an old checkpoint hold, in the words of the old system's model configs?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.config.yaml_files import read_mapping
from vctrain.errors import ContractError, UsageError
from vctrain.runs.migration.frozen import YAML, pretrained_of
from vctrain.runs.migration.old import OldCheckpoint, read_old

_NOT_COMPUTED_WITH = ("regularization", "height", "width", "sampling_rate")
_FILLED_IN = {"modulator": ("feature_dim",), "readout": ("n_units",)}
"""Parameters that the old code overwrote when it built a model."""


@dataclass(frozen=True)
class Described:
    """A model description, where it comes from, and what was noticed on the way."""

    model: Mapping[str, Any]
    source: str
    inside: bool
    """Whether it comes from a checkpoint, not from a file that the user named."""
    notes: tuple[str, ...] = ()


def description_of(old: OldCheckpoint, given: Path | None) -> Described:
    """The model description of ``old``: its own if it holds one, else that of ``given``.

    ``given`` is a model YAML, a folder that holds it under the name by which the checkpoint knows it, or a checkpoint
    that holds one (the pretrained one of a frozen core). Raises ContractError if there is none, UsageError for a
    ``given`` that is none.
    """
    own = _own(old)
    if own is None and given is None:
        given = pretrained_of(old, None)
    if own is None and given is None:
        raise ContractError(f"{old.path} does not hold its model config", hint=f"give --model-config{_known_as(old)}")
    if given is None:
        assert own is not None
        return Described(own, str(old.path), True)
    path = _chosen(given, old)
    other = _from_file(path)
    if own is None:
        return Described(other, str(path), path.suffix not in YAML)
    different = _differences(own, other)
    if not different:
        return Described(own, str(old.path), True)
    shown = ", ".join(different[:4]) + (f" and {len(different) - 4} more" if len(different) > 4 else "")
    return Described(
        own, str(old.path), True, (f"the checkpoint holds its own model config; {path} says otherwise in {shown}",)
    )


def _own(old: OldCheckpoint) -> Mapping[str, Any] | None:
    for name in ("model_config_dict", "model_config"):
        found = old.hyperparameters.get(name)
        if isinstance(found, dict) and found:
            return found
    return None


def _known_as(old: OldCheckpoint) -> str:
    """How to go on, with the name that the checkpoint itself gives its model config."""
    recorded = old.text("model_cfg")
    if recorded:
        return f" with the YAML it was trained with ({recorded})"
    pretrained = old.text("pretrained_checkpoint")
    if old.generation == "FrozenCoreModel" and pretrained:
        return f" with the checkpoint whose core it took ({pretrained}), or the model YAML of that one"
    return " with the YAML it was trained with"


def _chosen(given: Path, old: OldCheckpoint) -> Path:
    if not given.exists():
        raise UsageError(f"--model-config {given} does not exist", hint="give the model YAML it was trained with")
    if given.is_file():
        return given
    recorded = Path(old.text("model_cfg") or "").name
    if recorded and (given / recorded).is_file():
        return given / recorded
    raise UsageError(
        f"--model-config {given} is a folder without {recorded or 'a name to look for'}",
        hint="give the model YAML it was trained with",
    )


def _from_file(path: Path) -> Mapping[str, Any]:
    if path.suffix in YAML:
        content = read_mapping(path)
        if not any(key in content for key in ("model_type", "readout", "convnet", "modulator")):
            raise UsageError(
                f"{path} is no model config (no model_type, convnet, modulator or readout)",
                hint="give the model YAML it was trained with; dataset configs go to --dataset-configs",
            )
        return content
    found = _own(read_old(path))
    if found is None:
        raise ContractError(
            f"{path} does not hold a model config either", hint="give the model YAML it was trained with"
        )
    return found


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted paths at which two descriptions disagree about what is computed."""
    ours, theirs = dict(_leaves(own)), dict(_leaves(other))
    return [path for path in dict.fromkeys([*ours, *theirs]) if ours.get(path) != theirs.get(path)]


def _leaves(model: Mapping[str, Any], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in model.items():
        here = f"{path}.{key}" if path else str(key)
        filled = [f"{part}.params.{name}" for part, names in _FILLED_IN.items() for name in names]
        if here in (*_NOT_COMPUTED_WITH, *filled):
            continue
        if isinstance(value, Mapping):
            found += _leaves(value, here)
        else:
            found.append((here, list(value) if isinstance(value, tuple) else value))
    return found
