"""Do a legacy model and its sessions fit each other?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from vctrain.config.legacy import LegacyModelConfig
from vctrain.errors import ContractError, UsageError
from vctrain.models.legacy.adapter import OldAdapter
from vctrain.models.shapes import SessionShape

if TYPE_CHECKING:
    from vctrain.models.legacy.twin import LegacyTwin


def grid_size(adapter: nn.Module, shape: SessionShape) -> tuple[int, int]:
    """Rows and columns that an adapter brings a session's stimulus to."""
    return (adapter.grid, adapter.grid) if isinstance(adapter, OldAdapter) else (shape.height, shape.width)


@torch.no_grad()
def map_size(twin: LegacyTwin, grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the feature map of stimuli on ``grid``, from a pass of one empty window through the core.

    Raises `UsageError` where the window does not pass.
    """
    config, training = twin.config, twin.training
    frames = len(config.lags)
    twin.eval()
    try:
        x = torch.zeros(1, config.initial_input_channels, frames, *grid) if twin.reads_stimulus else None
        behavior = torch.zeros(1, config.behavior_dim) if twin.modulator is not None else None
        features = twin.features(x, behavior, 1)
    except RuntimeError as error:
        raise UsageError(
            f"a window of {frames} frames on a grid of {grid[0]}x{grid[1]} does not fit the model "
            f"({str(error).splitlines()[0]})",
            hint="check lags and semantics, and that the model description is the checkpoint's own",
        ) from error
    finally:
        twin.train(training)
    return (features.shape[-2], features.shape[-1])


def check_shapes(config: LegacyModelConfig, shapes: Sequence[SessionShape]) -> None:
    """Raise `UsageError` or `ContractError` where sessions and config do not fit."""
    for name in config.heads:
        if name not in {shape.name for shape in shapes}:
            raise UsageError(
                f"heads names session {name}, which is not there",
                hint=f"sessions: {', '.join(shape.name for shape in shapes)}",
            )
    for shape in shapes:
        if (shape.own_adapter or shape.own_readout) and shape.name not in config.heads:
            raise UsageError(
                f"session {shape.name} asks for its own adapter or readout, and a legacy model takes those from heads",
                hint="leave adapter and readout out of its dataset config",
            )
    if config.modulator.type == "none":
        return
    width = config.behavior_dim
    optional = config.modulator.type in ("film", "stn") and config.reads_stimulus
    for shape in shapes:
        if shape.behavior_dim != width and not (optional and shape.behavior_dim == 0):
            raise ContractError(
                f"session {shape.name} has {shape.behavior_dim} behaviour values a frame, the model reads {width}",
                hint="give it the behaviour transforms that the model was trained with",
            )
