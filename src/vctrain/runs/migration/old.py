"""What does an old checkpoint hold, and which system wrote it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from vctrain.data.inert import Inert
from vctrain.data.torchfile.reading import read_torch_file
from vctrain.data.torchfile.values import plain
from vctrain.errors import ContractError

Generation = Literal[
    "PLCoreVisionModel",
    "MultiDatasetPLCore",
    "MultiDatasetModel 2025-10",
    "MultiDatasetModel 2025-10 compiled",
    "MultiDatasetModel newest",
    "FrozenCoreModel",
    "weights alone",
]
"""The Lightning module that wrote a checkpoint; ``weights alone`` has no hyperparameters that would tell."""

_PREFIXES = ("model._orig_mod.", "_orig_mod.model.", "_orig_mod.", "module.model.", "model.", "module.")
"""Longest first: of a compiled or wrapped model, and of the Lightning module around it."""
LONGEST_NAME = 400
_FIRST_PARTS = (
    *("adapter", "adapters", "frontend", "convnet", "modulator", "recurrent", "readout", "readouts"),
    *("baseline", "baselines", "spike_history"),
)


@dataclass(frozen=True)
class OldCheckpoint:
    """An old checkpoint: its tensors under the names of the inner model, and what else it says."""

    path: Path
    generation: Generation
    prefix: str
    tensors: Mapping[str, Tensor]
    """In the order of the file."""
    outside: Mapping[str, str]
    """Names of entries that are no tensors of the model, and why."""
    hyperparameters: Mapping[str, Any]
    """Plain values; foreign objects stay inert."""
    content: Mapping[str, Any] = field(repr=False)
    foreign: tuple[str, ...] = ()
    """Classes and functions of which it holds objects, none of which were read."""

    def number(self, name: str) -> int | None:
        """A counter such as ``epoch``, if it is there."""
        value = self.content.get(name)
        return value if type(value) is int else None

    def text(self, name: str) -> str | None:
        """A hyperparameter that is text, such as ``model_cfg``."""
        value = self.hyperparameters.get(name)
        return value if isinstance(value, str) else None


def read_old(path: Path) -> OldCheckpoint:
    """The checkpoint at ``path``; nothing it names is run.

    Raises ContractError if it cannot be read or is no checkpoint of an old system.
    """
    stored = read_torch_file(path, "a checkpoint")
    content = stored.content
    if not isinstance(content, Mapping):
        raise _not_a_checkpoint(path, f"it holds a {type(content).__name__}")
    if "vctrain" in content:
        raise ContractError(
            f"{path} is a checkpoint of vctrain already", hint="use it as it is, or write it out with vctrain export"
        )
    state = content.get("state_dict", content.get("model_state_dict"))
    bare = state is None and bool(content) and all(isinstance(value, Tensor) for value in content.values())
    state = content if bare else state
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise _not_a_checkpoint(path, "it has no state_dict")
    if not all(name.isprintable() and len(name) < LONGEST_NAME for name in state):
        raise _not_a_checkpoint(path, "names of its tensors are no names")
    prefix, tensors, outside = _inner(path, state)
    hyper = {} if bare else _hyperparameters(content)
    generation = _generation(hyper, tensors, "_orig_mod." in prefix)
    return OldCheckpoint(path, generation, prefix, tensors, outside, hyper, content, stored.foreign)


def _not_a_checkpoint(path: Path, why: str) -> ContractError:
    return ContractError(
        f"{path}: not a checkpoint of an old system ({why})", hint="give a .ckpt that Lightning wrote in a training"
    )


def _hyperparameters(content: Mapping[str, Any]) -> dict[str, Any]:
    found = content.get("hyper_parameters")
    return {str(key): plain(value) for key, value in found.items()} if isinstance(found, Mapping) else {}


def _inner(path: Path, state: Mapping[str, Any]) -> tuple[str, dict[str, Tensor], dict[str, str]]:
    """The prefix of the model's tensors, those tensors without it, and what else the state dict holds."""
    for prefix in (*_PREFIXES, ""):
        inner = {name.removeprefix(prefix) for name in state if name.startswith(prefix)}
        if any(name.partition(".")[0] in _FIRST_PARTS for name in inner):
            break
    else:
        first = ", ".join(sorted(state)[:3])
        raise _not_a_checkpoint(path, f"none of its tensors belongs to a twin: {first}" if state else "it is empty")
    tensors: dict[str, Tensor] = {}
    outside: dict[str, str] = {}
    for name, value in state.items():
        own = name.removeprefix(prefix)
        if not name.startswith(prefix) or own.partition(".")[0] not in _FIRST_PARTS:
            outside[name] = "belongs to the training module, not to the model"
        elif not isinstance(value, Tensor):
            kind = value.what if isinstance(value, Inert) else type(value).__name__
            outside[name] = f"is no tensor but {kind}"
        else:
            tensors[own] = value
    return prefix, tensors, outside


def _generation(hyper: Mapping[str, Any], tensors: Mapping[str, Tensor], compiled: bool) -> Generation:
    if "model_index" in hyper and "pretrained_checkpoint" in hyper:
        return "FrozenCoreModel"
    if "model_cfg" in hyper or "cfg_dir" in hyper or "model_config_dict" in hyper:
        if isinstance(hyper.get("model_config_dict"), dict):
            return "MultiDatasetModel newest"
        return "MultiDatasetModel 2025-10 compiled" if compiled else "MultiDatasetModel 2025-10"
    if "model_class" in hyper or "optim_kwargs" in hyper or "model_config" in hyper:
        numbered = any(name.startswith(("readouts.", "adapters.")) for name in tensors)
        return "MultiDatasetPLCore" if numbered else "PLCoreVisionModel"
    return "weights alone"
