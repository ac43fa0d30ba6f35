"""Small twins and clips for the tests of models and training."""

from __future__ import annotations

from typing import Any

import torch

from vctrain.config.model import ModelConfig
from vctrain.data.clips import SessionClips
from vctrain.models.twin import StoredShape, Twin

BLOCK = {"channels": 4, "kernel": [3, 3, 3], "norm": "grn", "activation": "splitrelu"}


def config(**changes: Any) -> ModelConfig:
    """A complete small model: adapter, temporal bank, stem, one block; ``changes`` replace components."""
    parts: dict[str, Any] = {
        "adapter": {"type": "adapter"},
        "frontend": {"type": "learnable_temporal", "kernel_size": 5, "num_channels": 3},
        "convnet": {
            "type": "resnet",
            "stem": {"channels": 4, "kernel": [1, 5, 5], "norm": "rms", "window": "hann", "weight_norm": True},
            "blocks": [BLOCK],
        },
    }
    return ModelConfig.model_validate({**parts, **changes})


def twin(model: ModelConfig, units: tuple[int, ...] = (3, 2), side: int = 12, behavior: int = 0) -> Twin:
    """A twin of ``len(units)`` sessions in evaluation mode, every parameter away from its special starting value."""
    torch.manual_seed(0)
    shapes = [StoredShape(f"S{i}_2024-01-01", n, side, side, behavior) for i, n in enumerate(units)]
    built = Twin(model, shapes)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built.eval()


def clips(
    session: int, n: int, frames: int, scored: int, units: int, side: int = 12, behavior: int = 0
) -> SessionClips:
    """Random clips of ``frames`` frames of which the last ``scored`` are scored."""
    generator = torch.Generator().manual_seed(session + 17 * n)
    return SessionClips(
        session=session,
        stim=torch.randint(0, 255, (n, frames, side, side), generator=generator, dtype=torch.uint8),
        robs=torch.poisson(torch.full((n, scored, units), 0.4), generator=generator),
        dfs=(torch.rand(n, scored, 1, generator=generator) > 0.2).float(),
        behavior=torch.randn(n, frames, behavior, generator=generator) if behavior else None,
    )
