"""How is a twin built: its components, their channels and cost, and what of the stimulus one prediction sees?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vctrain.config.legacy import LegacyModelConfig
from vctrain.config.model import ModelConfig
from vctrain.data.clips import SessionClips
from vctrain.models.build import AnyTwin
from vctrain.models.shapes import StoredShape
from vctrain.models.twin import Twin
from vctrain.runs.checkpoints import Checkpoint, shape_of

SHARE = 0.99
"""The receptive field is the box that holds this much of the squared gradient."""
_PARTS = ("frontend", "convnet", "modulator", "recurrent")
_SHORT, _LONG = 2, 6
"""Scored frames of two clips; the difference of their costs is that of frames alone."""
_DRAWS, _CHEAP = 4, 10**10
"""Draws of noise for the receptive field of a twin whose clip costs less than so many operations; else one."""


def model_facts(checkpoint: Checkpoint, twin: AnyTwin) -> dict[str, Any]:
    """``{"components", "receptive_field", "flops"}`` of ``twin``, that of ``checkpoint``, in plain types.

    ``components``: for the adapter and readout of the first session and each shared part ``{"part", "type", "channels",
    "size": [rows, columns] or None, "parameters", "flops"}``, ``flops`` a scored frame. ``receptive_field``:
    ``{"pixels": [rows, columns], "support": [rows, columns], "frames", "of": [rows, columns]}`` of a unit at the middle
    of the feature map, in stimulus pixels of the first session; None for a twin that reads no stimulus. ``flops``:
    ``{"frame", "start"}``, those of a scored frame and those that a clip costs beforehand; only convolutions and matrix
    products count, a multiplication with its addition as two.
    """
    shape = shape_of(checkpoint.sessions[0], checkpoint.model)
    seen: dict[str, Tensor] = {}
    with _watched(list(_parts(twin)), seen, inputs=False):
        try_clip(checkpoint, twin)
    short, long = clip_flops(twin, shape, _SHORT), clip_flops(twin, shape, _LONG)
    per_frame = {part: (long[part] - count) // (_LONG - _SHORT) for part, count in short.items()}
    start = max(short[""] - _SHORT * per_frame[""], 0)
    return {
        "components": [
            _component(checkpoint.model, twin, part, module, seen, per_frame) for part, module in _parts(twin)
        ],
        "receptive_field": _receptive_field(twin, shape, _DRAWS if short[""] < _CHEAP else 1),
        "flops": {"frame": per_frame[""], "start": start},
    }


def try_clip(checkpoint: Checkpoint, twin: AnyTwin) -> None:
    """One pass over a clip of one scored frame; raises what the twin raises."""
    with torch.no_grad():
        twin([_clip(twin, shape_of(checkpoint.sessions[0], checkpoint.model), 1).part])


def _parts(twin: AnyTwin) -> Iterator[tuple[str, nn.Module]]:
    yield "adapter", twin.adapters[0]
    for part in _PARTS:
        module = getattr(twin, part)
        if module is not None:
            yield part, module
    yield "readout", twin.readouts[0]


def _component(
    model: ModelConfig | LegacyModelConfig,
    twin: AnyTwin,
    part: str,
    module: nn.Module,
    seen: Mapping[str, Tensor],
    flops: Mapping[str, int],
) -> dict[str, Any]:
    shape = tuple(seen[part].shape) if part in seen else None
    channels: int | None = None
    size: list[int] | None = None
    if part == "readout":
        channels = twin.units[0]
    elif shape is not None:
        # a current adapter has no axis of channels, an old GRU none of time
        channels = 1 if part == "adapter" else shape[1]
        size = list(shape[-2:])
    return {
        "part": part,
        "type": getattr(model, part).type,
        "channels": channels,
        "size": size,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "flops": flops.get(part, 0),
    }


@dataclass(frozen=True)
class _Clip:
    part: SessionClips
    stim: Tensor | None


def _clip(twin: AnyTwin, shape: StoredShape, scored: int, seed: int = 0) -> _Clip:
    """A clip of noise of the first session."""
    generator = torch.Generator().manual_seed(seed)
    frames = twin.context + scored
    stim = None
    if twin.reads_stimulus:
        stim = 0.3 * torch.randn(1, frames, shape.height, shape.width, generator=generator)
    behavior = torch.randn(1, frames, shape.behavior_dim, generator=generator) if shape.behavior_dim else None
    spikes = twin.history_frames
    part = SessionClips(
        session=0,
        stim=stim,
        robs=torch.zeros(1, scored, shape.n_units),
        dfs=torch.ones(1, scored, 1),
        behavior=behavior,
        history=torch.zeros(1, spikes + scored, shape.n_units) if spikes else None,
    )
    return _Clip(part, stim)


def clip_flops(twin: AnyTwin, shape: StoredShape, scored: int) -> dict[str, int]:
    """Operations of one clip of ``scored`` scored frames of a session of ``shape``, in all (``""``) and by part."""
    clip = _clip(twin, shape, scored).part
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin([clip])
    counts = counter.get_flop_counts()
    name = type(twin).__name__
    own = {"adapter": "adapters.0", "readout": "readouts.0"}
    found = {part: sum(counts.get(f"{name}.{own.get(part, part)}", {}).values()) for part, _ in _parts(twin)}
    total = counter.get_total_flops()
    if isinstance(twin, Twin):
        # what a twin calls itself is not entered as the part it belongs to: the encoder of behaviour, and the adapters,
        # which work together on all sessions
        if "modulator" in found:
            found["modulator"] += sum(counts.get(f"{name}.modulator.encoder", {}).values())
        found["adapter"] = total - sum(count for part, count in found.items() if part != "adapter")
    return {"": total, **found}


@contextmanager
def _watched(modules: Sequence[tuple[str, nn.Module]], kept: dict[str, Tensor], inputs: bool) -> Iterator[None]:
    """Keeps the first input, or the output, of each module while it is entered."""

    def keeper(name: str) -> Any:
        def keep(_module: nn.Module, given: tuple[Any, ...], made: Any = None) -> None:
            value = given[0] if inputs else made
            if isinstance(value, Tensor):
                kept[name] = value

        return keep

    handles = [
        module.register_forward_pre_hook(keeper(name)) if inputs else module.register_forward_hook(keeper(name))
        for name, module in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _receptive_field(twin: AnyTwin, shape: StoredShape, draws: int) -> dict[str, Any] | None:
    """Measured: the gradient of the features in the middle of the map, over draws of noise and of channel weights."""
    if not twin.reads_stimulus:
        return None
    squared = torch.zeros(twin.context + 1, shape.height, shape.width)
    for seed in range(draws):
        clip = _clip(twin, shape, 1, seed)
        assert clip.stim is not None
        clip.stim.requires_grad_()
        kept: dict[str, Tensor] = {}
        with torch.enable_grad(), _watched([("readout", twin.readouts[0])], kept, inputs=True):
            twin([clip.part])
            features = kept["readout"]
            last = features[0, :, -1] if features.ndim == 5 else features[0]
            middle = last[:, last.shape[1] // 2, last.shape[2] // 2]
            weights = torch.randn(len(middle), generator=torch.Generator().manual_seed(seed))
            (gradient,) = torch.autograd.grad((middle * weights).sum(), clip.stim, allow_unused=True)
        squared += torch.zeros(()) if gradient is None else gradient[0].double().square().to(squared)
    total = squared.sum()
    if not torch.isfinite(total) or total == 0:
        return None
    frames = squared.sum((1, 2)).nonzero()
    profile = squared.sum(0)
    return {
        "pixels": [_extent(profile.sum(1), SHARE), _extent(profile.sum(0), SHARE)],
        "support": [_extent(profile.sum(1), 1.0), _extent(profile.sum(0), 1.0)],
        "frames": int(len(squared) - frames.min()),
        "of": [shape.height, shape.width],
    }


def _extent(profile: Tensor, share: float) -> int:
    """The length of the shortest stretch of ``profile`` that holds ``share`` of its sum.

    >>> _extent(torch.tensor([0.0, 1.0, 8.0, 1.0, 0.0]), 1.0), _extent(torch.tensor([0.0, 1.0, 8.0, 1.0, 0.0]), 0.9)
    (3, 2)
    """
    if share >= 1.0:
        inside = profile.nonzero()
        return int(inside.max() - inside.min()) + 1
    summed = torch.cat([torch.zeros(1, dtype=torch.float64), profile.double().cumsum(0)])
    for length in range(1, len(profile) + 1):
        if float((summed[length:] - summed[:-length]).max()) >= share * float(summed[-1]) * (1 - 1e-12):
            return length
    return len(profile)
