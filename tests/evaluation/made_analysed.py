"""A simulated session whose truth is known, and a linear twin of it whose filters are planted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_sessions import settings

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import simulate
from vctrain.runs.checkpoints import read_checkpoint, write_portable
from vctrain.training.fit import train

SIZE, RATE, UNITS = 16, 60.0, 6
ORIENTATIONS, PERIOD = (35.0, 120.0), 5.0
"""Degrees, and pixels, of the two planted filters."""
_MODEL: dict[str, Any] = {
    "adapter": {"type": "none"},
    "frontend": {"type": "learnable_temporal", "kernel_size": 4, "num_channels": 1},
    "convnet": {
        "type": "resnet",
        "stem": {"channels": 2, "kernel": [1, 9, 9], "norm": "none", "activation": "none"},
        "blocks": [],
    },
    "modulator": {"type": "none"},
    "recurrent": {"type": "none"},
    "readout": {"type": "gaussian"},
}


@dataclass(frozen=True)
class Analysed:
    """The checkpoint, and what the simulation says about the session."""

    checkpoint: Path
    truth: dict[str, Any]

    def centres(self) -> np.ndarray:
        """(U, 2): row and column of the stored patch at which each unit looks."""
        error = self.truth["calibration"]
        retinal = np.array(self.truth["units"]["centre"])
        return np.asarray((retinal - np.array(error["shift"])) / error["scale"] + (SIZE - 1) / 2)


def gabors() -> torch.Tensor:
    """Two filters (2, 1, 1, 9, 9) of known orientation and period."""
    axis = np.arange(9) - 4.0
    kernels = []
    for degrees in ORIENTATIONS:
        along = np.sin(np.radians(degrees)) * axis[:, None] + np.cos(np.radians(degrees)) * axis[None]
        envelope = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 2.2**2))
        kernels.append(np.cos(2 * np.pi * along / PERIOD) * envelope)
    return torch.tensor(np.stack(kernels)[:, None, None], dtype=torch.float32)


def make(folder: Path) -> Analysed:
    """Six minutes of six units; the twin's units read the two filters in turn, from the middle of the patch."""
    config = SimulationConfig(
        sessions=1, units=UNITS, minutes=6, size=SIZE, rate=RATE, types=("gaborium", "gratings"), seed=5
    )
    simulate(folder / "sessions", config)
    short = {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 1, "data.batch_clips": 2, "init.map_minutes": 0.1}
    # gratings come to be analysed only
    chosen = settings(folder / "sessions" / "dataset.yaml", {"model": _MODEL, "data.types": ["gaborium"], **short})
    train(chosen, run_dir=folder / "run", provenance={}, argv=["vctrain", "train"])
    trained = read_checkpoint(folder / "run")
    weights = dict(trained.weights)
    weights["frontend.kernel.raw"] = torch.tensor([[[0.0, -0.4, 1.0, 0.3]]])
    weights["convnet.stem.kernel.raw"] = gabors()
    weights["convnet.stem.bias"] = torch.zeros(2)
    weights["readouts.0.mean"] = torch.zeros(UNITS, 2)
    weights["readouts.0.std"] = torch.full((UNITS, 2), 0.3)
    weights["readouts.0.features"] = torch.eye(2).repeat(UNITS // 2, 1) * 0.5
    weights["readouts.0.bias"] = torch.full((UNITS,), -1.0)
    write_portable(folder / "planted.pt", weights, trained.content)
    truth = json.loads((folder / "sessions" / "simulation.json").read_text())["sessions"][0]
    return Analysed(folder / "planted.pt", truth)
