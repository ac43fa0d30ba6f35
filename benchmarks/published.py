"""The twin that streaming is measured on, and batches for it: published kernels, 49-frame windows, fewer channels."""

from __future__ import annotations

import torch

from vctrain.config.model import ModelConfig
from vctrain.config.schema import OptimConfig
from vctrain.config.yaml_files import read_mapping
from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.models.build import AnyTwin
from vctrain.models.shapes import StoredShape
from vctrain.models.twin import Twin
from vctrain.presets import find_model
from vctrain.training.optimizer import build_optimizer, parameter_groups

MODEL = "learned_resnet_none_convgru_gaussian"
CONTEXT = 48
"""Frames before a predicted one in the windows of 49 lags of the 240 Hz configs."""


def model_config(width: float, recurrent: bool = True, grid: int = 51) -> ModelConfig:
    """The preset `MODEL` with ``width`` times its channels, its warm-up lengthened until the context is `CONTEXT`."""
    content = read_mapping(find_model(MODEL))
    content.pop("description", None)
    blocks = [content["convnet"]["stem"], *content["convnet"]["blocks"]]
    for block in blocks:
        block["channels"] = max(1, round(block["channels"] * width))
    content["adapter"]["grid_size"] = grid
    if not recurrent:
        content["recurrent"] = {"type": "none"}
        return ModelConfig.model_validate(content)
    content["recurrent"]["hidden"] = max(1, round(content["recurrent"]["hidden"] * width))
    content["recurrent"]["warmup"] += CONTEXT - ModelConfig.model_validate(content).context
    return ModelConfig.model_validate(content)


def small_config() -> ModelConfig:
    """The preset `twin_small`, without its modulator."""
    content = read_mapping(find_model("twin_small"))
    content.pop("description", None)
    return ModelConfig.model_validate({**content, "modulator": {"type": "none"}})


def build(config: ModelConfig, sessions: int, units: int = 24, side: int = 60) -> Twin:
    """A twin of ``sessions`` sessions of movies of ``side`` pixels, always of the same weights."""
    torch.manual_seed(0)
    return Twin(config, [StoredShape(f"Sim{i:02d}_2025-01-01", units, side, side, 0) for i in range(sessions)])


def batch(twin: AnyTwin, clips: int, scored: int, side: int = 60) -> ClipBatch:
    """``clips`` clips of ``scored`` scored frames of every session: noise movies, Poisson counts."""
    generator = torch.Generator().manual_seed(1)
    shape = (clips, twin.context + scored, side, side)
    parts = tuple(
        SessionClips(
            session=session,
            stim=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
            robs=torch.poisson(torch.full((clips, scored, units), 0.3), generator=generator),
            dfs=torch.ones(clips, scored, 1),
        )
        for session, units in enumerate(twin.units)
    )
    counts = torch.tensor([clips * scored * units for units in twin.units], dtype=torch.float64)
    return ClipBatch(0, parts, counts)


def optimizer(twin: AnyTwin) -> torch.optim.Optimizer:
    """The optimizer that training gives it."""
    settings = OptimConfig()
    return build_optimizer(parameter_groups(twin, settings), settings)
