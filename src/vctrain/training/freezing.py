"""Which parts of a twin stay exactly as they are?

Frozen parameters take no gradient, are absent from the optimizer and cost no activations (autograd keeps none for a
stage whose input needs no gradient); modules all of whose parameters are frozen stay in evaluation mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from vctrain.config.schema import StartConfig
from vctrain.errors import NumericsError, UsageError
from vctrain.models.build import AnyTwin
from vctrain.training.loading import OWNED, VISION, Loaded, part_of
from vctrain.training.regularizers import near_names


def freeze(twin: AnyTwin, start: StartConfig, loaded: Loaded) -> tuple[str, ...]:
    """Freeze what ``start`` asks for; returns the names of the frozen tensors, buffers included.

    Raises UsageError for a pattern that matches nothing, or if nothing is left to learn.
    """
    chosen = set().union(*asked_for(twin, start, loaded).values())
    for name, parameter in twin.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    if chosen and not any(parameter.requires_grad for parameter in twin.parameters()):
        raise UsageError("everything is frozen: nothing is left to learn", hint="freeze less, or use vctrain eval-bps")
    still = _rest(twin, chosen)
    buffers = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in twin.named_modules()
        if module in still
        for name, _ in module.named_buffers(recurse=False)
    }
    return tuple(name for name in twin.state_dict() if name in chosen or name in buffers)


def freeze_again(twin: AnyTwin, names: Collection[str]) -> None:
    """Freeze the tensors that `freeze` named when the run began."""
    chosen = set(names)
    for name, parameter in twin.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    _rest(twin, chosen)


def _rest(twin: AnyTwin, chosen: Collection[str]) -> list[nn.Module]:
    """The modules with nothing left to learn, put into evaluation mode."""
    still = [module for module in twin.modules() if _is_frozen(module, chosen)]
    for module in still:
        module.eval()
    return still


def asked_for(twin: AnyTwin, start: StartConfig, loaded: Loaded) -> dict[str, set[str]]:
    """Names of the parameters that each option of ``start`` freezes. Raises UsageError for one that freezes none."""
    names = [name for name, _ in twin.named_parameters()]
    found: dict[str, set[str]] = {}
    if start.freeze_vision:
        found["--freeze-vision"] = {name for name in names if part_of(name) in VISION and name in loaded.loaded}
        if not found["--freeze-vision"]:
            raise UsageError(
                "--freeze-vision: this twin has no parameter of adapters, frontend or convnet that was loaded",
                hint="leave it out, or choose a model with the checkpoint's vision",
            )
    for pattern in start.freeze:
        pieces = pattern.split("/")
        hits = {
            name
            for name in names
            if (part_of(name) not in OWNED if pattern == "core" else all(piece in name for piece in pieces))
        }
        if not hits:
            raise UsageError(f"--freeze {pattern}: no parameter matches it", hint=near_names(pattern, names))
        found[f"--freeze {pattern}"] = hits
    return found


def _is_frozen(module: nn.Module, chosen: Collection[str]) -> bool:
    parameters = list(module.parameters())
    return bool(chosen) and bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def digest(twin: AnyTwin, names: Sequence[str]) -> str:
    """A digest of the bytes of the tensors ``names``."""
    state = twin.state_dict()
    return digest_of({name: state[name] for name in names})


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """A digest of the names, shapes and bytes of ``tensors``."""
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        found.update(f"{name} {tuple(value.shape)}".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def check_unchanged(twin: AnyTwin, names: Sequence[str], before: str) -> None:
    """Raises NumericsError unless the tensors ``names`` still have the digest ``before``."""
    if digest(twin, names) != before:
        raise NumericsError(
            f"of {len(names)} frozen tensors some changed during training", hint="this is a bug in vctrain; report it"
        )
