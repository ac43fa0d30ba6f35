"""Which code computed with the weights of an old checkpoint, as far as its tensors and its model config tell?

The same tensors mean other predictions to other versions of the old code (`vctrain.config.legacy`). Most leave traces
in the names and shapes of tensors; what leaves none is either settled by a rule that is said, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from torch import Tensor

from vctrain.config.legacy import Semantics
from vctrain.errors import ContractError
from vctrain.runs.migration.old import OldCheckpoint

ALL: tuple[Semantics, ...] = get_args(Semantics)
_NEW_NAMES = re.compile(
    r"parametrizations\.weight\.|^recurrent\.cells\.|\.gru\.cells\.|^convnet\.stem\.|\.shortcut\.weight$|"
    r"^frontend\.temporal_conv\.conv\.|^spike_history\."
)
_OLD_NAMES = re.compile(
    r"\bcell\.(conv_x|gates)\.|\.shortcut\.0\.weight$|\.norm\.offset$|^modulator\.(theta_head|predictor)\.|"
    r"\.pre_temporal\.|^readouts?\.(\d+\.)?_features_ex_weight$"
)


@dataclass(frozen=True)
class Decided:
    """How a checkpoint is to be read: the semantics to try, best first; ``why`` says what told."""

    candidates: tuple[Semantics, ...]
    why: str
    note: str | None = None
    """What was assumed, where something was."""

    @property
    def semantics(self) -> Semantics:
        """The first to try."""
        return self.candidates[0]


def decide(old: OldCheckpoint, model: Mapping[str, Any], asked: str | None, checked: bool) -> Decided:
    """The semantics of ``old`` with its ``model`` description; ``asked`` are those the user names.

    With ``checked`` there are reference rates, which settle what tensors leave open, so all that is possible is
    returned. Raises ContractError where nothing tells.
    """
    if asked is not None:
        return Decided((cast(Semantics, asked),), "as asked")
    new, former = _traces(old, model)
    if new and former:
        raise ContractError(
            f"{old.path} mixes traces of newer code ({new[0]}) and older ({former[0]}): it was written while "
            "the code changed, between 2025-10-14 and 2025-10-22",
            hint="try --semantics head or --semantics old, with --check BATCH.npz of rates that the old code computed",
        )
    if new:
        return Decided(("head",), new[0])
    if former or old.generation in ("PLCoreVisionModel", "MultiDatasetPLCore"):
        return _old(former[0] if former else f"it is a {old.generation}", old, model, checked)
    silent = _silent_difference(model)
    if silent is None:
        return _old("nothing in it depends on the version", old, model, checked)
    if checked:
        return Decided(ALL, "the reference rates")
    raise ContractError(
        f"{old.path}: its tensors do not tell which version of the old code they were fit with, and {silent} computes "
        "differently in each",
        hint="say --semantics old (until 2025-10-08), old-antialias (the week after) or head (from 2025-10-20 on), or "
        "let --check BATCH.npz of rates that the old code computed settle it",
    )


def _old(why: str, old: OldCheckpoint, model: Mapping[str, Any], checked: bool) -> Decided:
    """Old code: with or without the tapering of temporal kernels, which no tensor shows."""
    kernels = old.tensors.get("frontend.temporal_conv.weight")
    if kernels is None or kernels.ndim != 3:
        return Decided(("old",), why)
    stated = _params(model, "frontend").get("anti_aliasing")
    if stated is not None:
        semantics: Semantics = "old-antialias" if stated else "old"
        return Decided((semantics,), f"frontend.params.anti_aliasing is {str(bool(stated)).lower()}")
    if _rms_gains(old.tensors, model):
        return Decided(("old-antialias",), "its norms of type rms have gains, which came on 2025-10-13")
    note = (
        "temporal kernels are taken as they are (--semantics old): the model config says nothing about anti_aliasing; "
        "if it was trained between the evening of 2025-10-08 and 2025-10-14, say --semantics old-antialias"
    )
    return Decided(("old", "old-antialias") if checked else ("old",), why, note)


def _traces(old: OldCheckpoint, model: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What shows newer code, and what older, each in a few words; names of tensors tell before settings do."""
    new = [f"it has {name}" for name in old.tensors if _NEW_NAMES.search(name)]
    former = [f"it has {name}" for name in old.tensors if _OLD_NAMES.search(name)]
    for name, tensor in old.tensors.items():
        if name.endswith(".norm.gamma") and tensor.ndim == 5:
            new.append(f"{name} has five axes")
    kernels = old.tensors.get("frontend.temporal_conv.weight")
    if kernels is not None and kernels.ndim == 3:
        former.append("frontend.temporal_conv.weight has three axes")
    if isinstance(old.hyperparameters.get("model_config_dict"), dict):
        new.append("it holds its model config as model_config_dict")
    if new or former:
        return new, former
    if old.generation == "FrozenCoreModel":
        return ["it is a FrozenCoreModel"], []
    if _rms_gains(old.tensors, model):
        return ["its norms of type rms have gains"], []
    dropped = [key for key in ("block_config", "dim") if key in _params(model, "convnet")]
    return [], [f"its model config has convnet.params.{key}" for key in dropped]


def _rms_gains(tensors: Mapping[str, Tensor], model: Mapping[str, Any]) -> bool:
    """Whether norms of type rms have gains."""
    if "rms" not in _values(model, ("norm_type", "resnet_shortcut_norm_type")):
        return False
    gains = [name for name, tensor in tensors.items() if name.endswith("norm.gamma") and tensor.ndim == 1]
    return any(f"{name.removesuffix('gamma')}offset" not in tensors for name in gains)


def _silent_difference(model: Mapping[str, Any]) -> str | None:
    """A component that computes differently in each version without showing it in its tensors."""
    if "aablur" in _values(model, ("type",)):
        return "its aablur pool"
    convnet = model.get("convnet")
    if isinstance(convnet, Mapping) and convnet.get("type") not in (None, "none"):
        return "the padding of its convnet"
    return None


def _params(model: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    component = model.get(part)
    params = component.get("params") if isinstance(component, Mapping) else None
    return params if isinstance(params, Mapping) else {}


def _values(value: Any, keys: tuple[str, ...]) -> list[Any]:
    """Everything that stands under one of ``keys`` anywhere in ``value``."""
    if isinstance(value, Mapping):
        own = [item for key, item in value.items() if key in keys]
        return own + [found for item in value.values() for found in _values(item, keys)]
    return [found for item in value for found in _values(item, keys)] if isinstance(value, list) else []
