"""Which parameter does each entry of an old optimizer belong to?

The old optimizer numbers its parameters group by group. Their names follow from the order of the tensors in the file
and from how each system formed its groups; the shapes of the moments then show whether that was right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vctrain.runs.migration.old import OldCheckpoint

_CORE = ("frontend", "convnet", "modulator")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_GROUP_KEYS = ("lr", "initial_lr", "weight_decay", "betas", "eps", "amsgrad")


@dataclass(frozen=True)
class OldOptimizer:
    """Moments by parameter name, and the groups they were in; or why there are none."""

    state: Mapping[str, Mapping[str, Tensor]]
    groups: Sequence[Mapping[str, Any]]
    reason: str | None = None
    """Why nothing was mapped."""


def optimizer_of(
    old: OldCheckpoint, learned: Sequence[str], fixed: Sequence[str], new_names: Mapping[str, str]
) -> OldOptimizer:
    """The state of the optimizer of ``old`` by the names of the migrated twin's parameters.

    ``learned`` and ``fixed`` are the names, in the file's order, of its parameters that learned and of those that did
    not; ``new_names`` what mapped ones are called now. Parameters without a new name (dead ones) are left out.
    """
    states = old.content.get("optimizer_states")
    if not isinstance(states, list) or not states:
        return OldOptimizer({}, (), "the checkpoint holds none")
    state = states[0] if isinstance(states[0], Mapping) else {}
    groups, moments = state.get("param_groups"), state.get("state")
    if len(states) > 1 or not _well_formed(groups) or not isinstance(moments, Mapping):
        return OldOptimizer({}, (), "it is not that of one AdamW")
    assert groups is not None
    counts = [len(group["params"]) for group in groups]
    order = _order(old, learned, fixed, counts)
    if order is None:
        return OldOptimizer({}, (), f"its groups of {counts} parameters do not fit the {len(learned)} of the model")
    named = dict(zip([index for group in groups for index in group["params"]], order, strict=True))
    problem = _misfit(moments, named, old.tensors)
    if problem is not None:
        return OldOptimizer({}, (), problem)
    kept = {
        new_names[named[index]]: {key: value for key, value in entry.items() if isinstance(value, Tensor)}
        for index, entry in moments.items()
        if named[index] in new_names
    }
    described = []
    for group in groups:
        names = [new_names[named[index]] for index in group["params"] if named[index] in new_names]
        described.append({**{key: group[key] for key in _GROUP_KEYS if key in group}, "names": names})
    return OldOptimizer(kept, tuple(described))


def _well_formed(groups: Any) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, Mapping)
        and isinstance(group.get("params"), list)
        and all(type(index) is int for index in group["params"])
        for group in groups
    )


def _order(old: OldCheckpoint, learned: Sequence[str], fixed: Sequence[str], counts: Sequence[int]) -> list[str] | None:
    """Parameter names in the order of the optimizer's numbers: the first way of forming groups that has its counts."""
    everything = [name for name in old.tensors if name in {*learned, *fixed}]
    trained = [name for name in everything if name in set(learned)]
    ways = [
        [everything],
        [trained],
        _split(everything, lambda name: True),
        _split(trained, lambda name: True),
        _split(everything, lambda name: name.endswith(".weight") and old.tensors[name].ndim > 1),
        _split(trained, lambda name: name.endswith(".weight") and old.tensors[name].ndim > 1),
    ]
    for way in ways:
        present = [group for group in way if group]
        if [len(group) for group in present] == list(counts):
            return [name for group in present for name in group]
    return None


def _split(names: Sequence[str], decays: Any) -> list[list[str]]:
    """Groups of the multi-session trainers: core with and without weight decay, then heads likewise."""
    groups: list[list[str]] = [[], [], [], []]
    for name in names:
        head = not any(part in name for part in _CORE)
        groups[2 * head + (not decays(name))].append(name)
    return groups


def _misfit(moments: Mapping[Any, Any], named: Mapping[int, str], tensors: Mapping[str, Tensor]) -> str | None:
    """Why moments do not belong to the parameters of their numbers, if they do not."""
    for index, entry in moments.items():
        if index not in named or not isinstance(entry, Mapping):
            return f"it has moments of parameter {index}, which is in no group"
        for key in _MOMENTS:
            value = entry.get(key)
            if not isinstance(value, Tensor) or value.shape != tensors[named[index]].shape:
                return f"the moments of parameter {index} do not have the shape of {named[index]}"
            if not value.isfinite().all():
                return f"the moments of {named[index]} are not finite"
    return None
