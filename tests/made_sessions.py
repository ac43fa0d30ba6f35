"""A small simulation, and settings of a small twin that trains on it in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vctrain.config.resolve import resolve
from vctrain.config.schema import Settings
from vctrain.config.simulation import SimulationConfig

SIMULATION = SimulationConfig(
    sessions=2, units=4, minutes=1.5, size=16, rate=60.0, types=("gaborium", "backimage"), seed=5
)

MODEL: dict[str, Any] = {
    "adapter": {"type": "adapter"},
    "frontend": {"type": "learnable_temporal", "kernel_size": 6, "num_channels": 2},
    "convnet": {
        "type": "resnet",
        "stem": {"channels": 4, "kernel": [1, 5, 5], "stride": 2, "norm": "rms", "weight_norm": True},
        "blocks": [],
    },
    "modulator": {"type": "film", "dims": [6, 4]},
}
"""Every kind of part that a twin without recurrence has, at its smallest."""

BEHAVIOUR_ALONE: dict[str, Any] = {
    "stimulus": False,
    "adapter": {"type": "none"},
    "frontend": {"type": "none"},
    "convnet": {"type": "none"},
    "modulator": {"type": "concat", "dims": [4]},
    "readout": {"type": "linear"},
}
"""A twin that reads no movie."""

SETTINGS: dict[str, object] = {
    "trainer.max_epochs": 3,
    "trainer.steps_per_epoch": 6,
    "trainer.accelerator": "cpu",
    "data.batch_clips": 4,
    "data.clip_frames": 32,
    "optim.lr": 3e-3,
    "optim.warmup_steps": 3,
    "checkpoint.keep_best": 2,
    "seed": 1,
}


def settings(data: str | Path, changes: Mapping[str, object] | None = None) -> Settings:
    """Settings of a short run of the small twin on the recordings at ``data``; ``changes`` by dotted path."""
    flags = {"data.path": str(data), "model": MODEL, **SETTINGS, **(changes or {})}
    return resolve(None, [], [], flags).settings
