"""Frozen parts cost no gradient and no activation memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from models.made_twins import clips, config, twin
from torch import Tensor

from vctrain.data.clips import SessionClips
from vctrain.models.twin import Twin

PARTS: dict[str, dict[str, Any]] = {
    "readout": {},
    "film": {"modulator": {"type": "film", "dims": [4]}},
    "convgru": {"recurrent": {"type": "convgru", "hidden": 4, "warmup": 4}},
    "convgru of behaviour": {"modulator": {"type": "convgru", "dims": [4], "hidden": 4, "warmup": 4}},
}
"""What follows the vision."""


def kept_bytes(net: Twin, parts: Sequence[SessionClips]) -> int:
    """What autograd keeps of a training pass for its backward pass, but for parameters and what clips hold."""
    known = {p.untyped_storage().data_ptr() for p in net.parameters()}
    known |= {
        value.untyped_storage().data_ptr()
        for part in parts
        for value in (part.stim, part.robs, part.dfs, part.behavior, part.features)
        if value is not None
    }
    found: dict[int, int] = {}
    alive: list[Tensor] = []  # or an address could be used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = sum((rate.sum() for rate in net(parts)), start=torch.zeros(()))
    loss.backward()
    return sum(found.values())


@pytest.mark.parametrize("name", PARTS)
def test_a_frozen_vision_keeps_no_activations_and_takes_no_gradient(name: str) -> None:
    """As much is kept as if the vision were not computed at all, and far less than by a vision that learns."""
    behavior = 3 if "modulator" in PARTS[name] else 0
    net = twin(config(**PARTS[name]), behavior=behavior).train()
    parts = [clips(i, 2, net.context + 6, 6, units, behavior=behavior) for i, units in enumerate(net.units)]
    learning = kept_bytes(net, parts)
    net.zero_grad(set_to_none=True)
    vision = [part for part in (net.adapters, net.frontend, net.convnet) if part is not None]
    for part in vision:
        part.requires_grad_(False).eval()
    frozen = kept_bytes(net, parts)
    assert all(parameter.grad is None for part in vision for parameter in part.parameters())
    assert all(parameter.grad is not None for parameter in net.readouts.parameters())
    surplus = net.context - net.vision_history - net.seen_before
    with torch.no_grad():
        seen = [net.see(replace(part, stim=part.stim[:, surplus:])) for part in parts]
    beforehand = [replace(part, stim=None, features=s) for part, s in zip(parts, seen, strict=True)]
    assert frozen == kept_bytes(net, beforehand)
    assert frozen + sum(s.numel() * s.element_size() for s in seen) < learning
