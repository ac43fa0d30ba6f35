"""Which tensor of an old checkpoint becomes which of the migrated twin, and which are dropped, and why?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vctrain.config.legacy import LegacyModelConfig
from vctrain.errors import ContractError
from vctrain.models.legacy.names import current_name, dead_tensors
from vctrain.runs.checkpoints import misfits
from vctrain.runs.migration.old import OldCheckpoint

_BUFFER = re.compile(
    r"(^|\.)(running_mean|running_var|num_batches_tracked|blur|ex_units|inh_units|K[yz]_filter|basis|"
    r"_beta_floor|_sigma_floor|_eps|weight_[uv])$"
)


@dataclass(frozen=True)
class Mapped:
    """The twin's tensors, and what became of those of the file."""

    names: Mapping[str, str]
    """Name in the file's model, in its order: name in the twin."""
    weights: Mapping[str, Tensor]
    dropped: Mapping[str, str]
    """Name in the file's model: why it is not needed."""


def map_tensors(old: OldCheckpoint, config: LegacyModelConfig, twin: nn.Module, source: str) -> Mapped:
    """Every tensor of ``old`` under its name in ``twin``, or dropped with a reason.

    ``source`` names where ``config`` comes from. Raises ContractError, naming tensors, if one is missing, unknown or of
    another shape.
    """
    dropped = dead_tensors(config, old.tensors)
    names = {name: current_name(name) for name in old.tensors if name not in dropped}
    weights = {new: old.tensors[name] for name, new in names.items()}
    own = twin.state_dict()
    wrong = misfits(own, weights)
    if wrong:
        shown = "; ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise ContractError(
            f"{old.path}: {len(wrong)} tensors do not fit the model config of {source} "
            f"with semantics {config.semantics}: {shown}",
            hint="give the model config it was trained with; if that is the one, say another --semantics",
        )
    odd = [name for name, tensor in weights.items() if tensor.is_floating_point() != own[name].is_floating_point()]
    if odd:
        raise ContractError(
            f"{old.path}: {odd[0]} holds {weights[odd[0]].dtype} numbers, not {own[odd[0]].dtype}",
            hint="take an intact checkpoint",
        )
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ContractError(
            f"{old.path}: {len(broken)} tensors are not finite ({', '.join(broken[:4])})",
            hint="its predictions would not be either; take an earlier checkpoint",
        )
    return Mapped(names, {name: tensor.to(own[name].dtype) for name, tensor in weights.items()}, dropped)


def parameters_of(old: OldCheckpoint, mapped: Mapped, twin: nn.Module) -> tuple[list[str], list[str]]:
    """The names in the file of the tensors that its optimizer may have known: those that learned, and fixed ones.

    Buffers are none, and a second name of a tensor is none either.
    """
    fixed_now = {name for name, parameter in twin.named_parameters() if not parameter.requires_grad}
    learned: list[str] = []
    fixed: list[str] = []
    for name in old.tensors:
        alias = name.endswith(".fc.bias") and f"{name.removesuffix('fc.bias')}bias" in old.tensors
        if _BUFFER.search(name) or alias:
            continue
        gain = mapped.names.get(name) in fixed_now and not name.endswith("log_sigma")
        (fixed if gain else learned).append(name)
    return learned, fixed
