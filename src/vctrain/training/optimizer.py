"""Which parameters learn at which rate, and which of them decay."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from vctrain.config.schema import OptimConfig
from vctrain.models.build import AnyTwin

HEADS = ("adapters.", "readouts.", "baselines.", "spike_history.")
"""How the names of parameters begin that sessions own; the last two in legacy twins."""


@dataclass(frozen=True)
class ParameterGroup:
    """One optimizer group: ``core`` or ``head``, decayed or not."""

    name: str
    lr: float
    weight_decay: float
    parameters: tuple[tuple[str, nn.Parameter], ...]

    @property
    def size(self) -> int:
        """Number of scalars in the group."""
        return sum(parameter.numel() for _, parameter in self.parameters)


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Weight decay is for weights: kernels, linear maps, readout features and spike-history layers.

    Biases, gains of norms and kernels, readout positions and widths, and stimulus alignments are not weights: pulling
    them towards zero would move receptive fields to the centre and blur or crop stimuli.
    """
    if name.startswith("adapters."):
        return False
    if name.startswith("readouts."):
        return parameter.ndim > 1 and any(word in name for word in ("features", "weight", ".history."))
    return parameter.ndim > 1


def parameter_groups(twin: AnyTwin, config: OptimConfig, kept: Collection[str] = ()) -> list[ParameterGroup]:
    """Core and head (adapters and readouts), each with its decayed and undecayed part; empty groups are left out.

    `kept` names parameters that something else pulls towards zero, so that weight decay leaves them alone."""
    named = [(name, parameter) for name, parameter in twin.named_parameters() if parameter.requires_grad]
    groups = []
    for part, scale in (("core", config.core_lr_scale), ("head", 1.0)):
        for decayed in (True, False):
            members = tuple(
                (name, parameter)
                for name, parameter in named
                if name.startswith(HEADS) == (part == "head")
                and (is_decayed(name, parameter) and name not in kept) == decayed
            )
            if members:
                decay = config.weight_decay if decayed else 0.0
                label = f"{part}, decayed" if decayed else part
                groups.append(ParameterGroup(label, config.lr * scale, decay, members))
    return groups


def build_optimizer(groups: Iterable[ParameterGroup], config: OptimConfig, *, mixed: bool = False) -> torch.optim.AdamW:
    """AdamW over ``groups``.

    On a CPU each group is updated by one fused kernel: torch's default there is a loop of a dozen operators for every
    parameter, and sessions have many small ones. On a GPU torch's default already takes all parameters at once.
    In ``mixed`` precision Lightning refuses to clip the gradients of fused optimizers, since those divide by the factor
    of a scaler themselves (also where there is none).
    """
    groups = list(groups)
    on_cpu = all(p.device.type == "cpu" for group in groups for _, p in group.parameters)
    fused = True if on_cpu and not mixed else None
    return torch.optim.AdamW(
        [
            {"params": [p for _, p in group.parameters], "lr": group.lr, "weight_decay": group.weight_decay}
            for group in groups
        ],
        betas=config.betas,
        fused=fused,
    )
