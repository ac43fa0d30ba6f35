"""Which parameters does each regularizer touch, and what does it do to them?"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vctrain.config.regularization import PENALTIES, Regularizer
from vctrain.errors import UsageError
from vctrain.models.kernels import Kernel


@dataclass(frozen=True)
class Target:
    """A parameter under a regularizer."""

    name: str
    parameter: nn.Parameter
    effective: Callable[[], Tensor]
    """What the twin computes with: a kernel under its window and norm, elsewhere the parameter itself."""


@dataclass(frozen=True)
class Matched:
    """A regularizer and the parameters it touches, sorted by name."""

    regularizer: Regularizer
    targets: tuple[Target, ...]

    @property
    def is_penalty(self) -> bool:
        """Whether it is added to the loss."""
        return self.regularizer.type in PENALTIES


def match(twin: nn.Module, regularizers: Iterable[Regularizer]) -> list[Matched]:
    """The parameters of each regularizer, by its patterns; frozen parameters are not touched.

    Raises UsageError, listing near names, for a pattern that matches none, for groups that a tensor does not have, and
    for a proximal step on a weight-normalised kernel, which would have no effect.
    """
    named = {name: parameter for name, parameter in twin.named_parameters() if parameter.requires_grad}
    kernels = {name: module for name, module in twin.named_modules() if isinstance(module, Kernel)}
    found = []
    for regularizer in regularizers:
        names: set[str] = set()
        for pattern in regularizer.apply_to:
            hits = _matching(pattern, named)
            frozen = [] if hits else _matching(pattern, (name for name, _ in twin.named_parameters()))
            if frozen:
                raise UsageError(
                    f"regularizer {regularizer.name}: no parameter matches {pattern!r} that learns; {len(frozen)} do "
                    f"not, such as {frozen[0]}",
                    hint="freeze less, or leave the regularizer out, as with --set regularization=[]",
                )
            if not hits:
                raise UsageError(
                    f"regularizer {regularizer.name}: no parameter matches {pattern!r}", hint=near_names(pattern, named)
                )
            names.update(hits)
        targets = tuple(_target(regularizer, name, named[name], kernels) for name in sorted(names))
        found.append(Matched(regularizer, targets))
    return found


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    pieces = pattern.split("/")
    return [name for name in names if all(piece in name for piece in pieces)]


def kept_from_decay(matched: Sequence[Matched]) -> set[str]:
    """Names of the parameters under l2 or group penalties, which weight decay would shrink a second time."""
    kinds = ("l2", "group_lasso", "proximal_group_lasso")
    return {target.name for entry in matched if entry.regularizer.type in kinds for target in entry.targets}


def penalties(matched: Sequence[Matched], epoch: int) -> dict[str, Tensor]:
    """The penalties that are not switched off at this epoch, by the name of the regularizer; scalars."""
    found = {}
    for entry in matched:
        strength = entry.regularizer.strength_at(epoch)
        if entry.is_penalty and strength:
            parts = [_penalty(entry.regularizer, target.effective()) for target in entry.targets]
            found[entry.regularizer.name] = strength * torch.stack(parts).sum()
    return found


@torch.no_grad()
def proximal_step(matched: Sequence[Matched], epoch: int, optimizer: torch.optim.Optimizer) -> None:
    """What comes after an optimizer step, once: thresholds in the parameter's own step size, and clamps.

    A parameter without a gradient in this step (a session that is absent from it) is left alone.
    """
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for entry in matched:
        strength = entry.regularizer.strength_at(epoch)
        if entry.is_penalty or (strength == 0 and "clamp" not in entry.regularizer.type):
            continue
        for target in entry.targets:
            if target.parameter.grad is not None and id(target.parameter) in groups:
                steps = adam_steps(optimizer, target.parameter, groups[id(target.parameter)])
                _shrink(entry.regularizer, target.parameter, strength, steps)


def adam_steps(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
    """How far Adam moves each element for a unit of its (bias-corrected) mean gradient: ``lr / (sqrt(v_hat) + eps)``
    (Kingma and Ba 2015), the shape of the parameter; 0 for an element that never had a gradient."""
    state = optimizer.state[parameter]
    correction = 1 - float(group["betas"][1]) ** float(state["step"])
    root = (state["exp_avg_sq"] / correction).sqrt()
    return torch.where(root > 0, group["lr"] / (root + group["eps"]), torch.zeros_like(root))


def _target(regularizer: Regularizer, name: str, parameter: nn.Parameter, kernels: dict[str, Kernel]) -> Target:
    owner, _, leaf = name.rpartition(".")
    kernel = kernels.get(owner) if leaf == "raw" else None
    if kernel is not None and kernel.gain is not None and not regularizer.type.startswith(PENALTIES):
        raise UsageError(
            f"regularizer {regularizer.name}: {name} is weight-normalised, so its length has no effect",
            hint=f"apply it to {owner}.gain, or set weight_norm: false",
        )
    readout = name.startswith("readouts.")
    if regularizer.groups is not None:
        wrong = parameter.ndim < 2 or ((regularizer.groups == "unit") != readout and regularizer.groups != "channel")
        if wrong:
            has = "one number a row" if parameter.ndim < 2 else "units" if readout else "filters"
            raise UsageError(
                f"regularizer {regularizer.name}: {name} {tuple(parameter.shape)} has {has}, no {regularizer.groups}s",
                hint="groups: unit is for readouts, filter for kernels, channel for both; narrow apply_to",
            )
    if regularizer.type == "ortho" and parameter.ndim < 2:
        raise UsageError(
            f"regularizer {regularizer.name}: {name} {tuple(parameter.shape)} has no rows to be orthogonal",
            hint="narrow apply_to to kernels or readout features",
        )
    return Target(name, parameter, (lambda: parameter) if kernel is None else kernel)


def _penalty(regularizer: Regularizer, value: Tensor) -> Tensor:
    if regularizer.type == "l1":
        return value.abs().sum()
    if regularizer.type == "l2":
        return value.square().sum()
    if regularizer.type == "ortho":
        rows = nn.functional.normalize(value.flatten(1), dim=1)
        return (rows @ rows.t() - torch.eye(len(rows), device=rows.device, dtype=rows.dtype)).square().sum()
    # the root has no gradient at zero, where a group that has vanished stays
    return (_grouped(regularizer, value).square().sum(1) + 1e-24).sqrt().sum()


def _grouped(regularizer: Regularizer, value: Tensor) -> Tensor:
    """The elements of each group as a row."""
    return (value.transpose(0, 1) if regularizer.groups == "channel" else value).flatten(1)


def _shrink(regularizer: Regularizer, parameter: nn.Parameter, strength: float, steps: Tensor) -> None:
    kind = regularizer.type
    if kind == "proximal_clamp":
        parameter.clamp_(-strength, strength)
    elif kind == "proximal_clamp_positive":
        parameter.clamp_(0.0, strength)
    elif kind == "proximal_clamp_min":
        parameter.clamp_(min=strength)
    elif kind == "proximal_l1":
        parameter.copy_(parameter.sign() * (parameter.abs() - strength * steps).clamp_min(0))
    else:
        rows, moved = _grouped(regularizer, parameter), _grouped(regularizer, steps)
        alive = (moved > 0).sum(1).clamp_min(1)
        length = rows.norm(dim=1).clamp_min(1e-30)
        factor = (1 - strength * (moved.sum(1) / alive) / length).clamp_min(0)
        shape = [1] * parameter.ndim
        shape[1 if regularizer.groups == "channel" else 0] = -1
        parameter.mul_(factor.view(shape))


def near_names(pattern: str, names: Iterable[str]) -> str:
    """Names that the pattern may have meant: those that match most of its pieces, or look alike."""
    pieces = pattern.split("/")
    known = list(names)
    partly = [name for name in known if any(piece in name for piece in pieces)]
    words = sorted({word for name in known for word in name.split(".") if not word.isdigit()})
    close = [word for piece in pieces for word in difflib.get_close_matches(piece, words, n=2)]
    alike = [name for name in known if any(word in name.split(".") for word in close)]
    shown = (partly or alike or known)[:4]
    return f"did you mean {' or '.join(shown)}?"
