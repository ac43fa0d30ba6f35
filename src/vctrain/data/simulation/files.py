"""How simulated sessions lie on disk: recordings, dataset configs, and the ground truth."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation.units import HISTORY

LEGACY_RATE = 120.0
"""Frames a second that the standard behaviour was written for; at others its filters keep their duration."""


def write_bytes(path: Path, payload: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: nobody reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(payload)
    os.replace(temporary, path)


def write_dset(path: Path, covariates: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """A ``.dset`` file. Saved through a file object: given a name, torch.save writes that name into the archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        torch.save({"covariates": dict(covariates), "metadata": dict(metadata)}, file)
    os.replace(temporary, path)


def write_yaml(path: Path, content: Mapping[str, Any], comment: str) -> None:
    """A dataset config with a comment on top."""
    text = yaml.safe_dump(dict(content), sort_keys=False, default_flow_style=None, width=110)
    write_bytes(path, f"# {comment}\n{text}".encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Deterministic JSON: no time, no path, no host."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def dataset_config(settings: SimulationConfig, sessions: Sequence[str]) -> dict[str, Any]:
    """The parent config: standard 42-column behaviour (eye velocity through a temporal basis, then eye position)."""
    history = max(1, round(HISTORY * settings.rate))
    basis = {
        "num_delta_funcs": 0,
        "num_cosine_funcs": 10,
        "history_bins": max(2, round(50 * settings.rate / LEGACY_RATE)),
        "causal": False,
        "log_spacing": False,
        "peak_range_ms": [30, 200],
        "bin_size_ms": 5.0 * LEGACY_RATE / settings.rate,
        "normalize": True,
    }
    velocity = [{"diff": {"axis": 0}}, {"maxnorm": {}}, {"symlog": {}}, {"temporal_basis": basis}, {"splitrelu": {}}]
    return {
        "session_dir": "./sessions",
        "sessions": list(sessions),
        "lab": "simulation",
        "types": list(settings.types),
        "sampling": {"source_rate": _plain(settings.rate), "target_rate": _plain(settings.rate)},
        "keys_lags": {"robs": 0, "stim": list(range(history)), "behavior": 0, "dfs": 0},
        "transforms": {
            "stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}], "expose_as": "stim"},
            "eye_vel": {"source": "eyepos", "ops": velocity, "expose_as": "behavior", "concatenate": True},
            "eye_pos": {"source": "eyepos", "ops": [], "expose_as": "behavior", "concatenate": True},
        },
        "datafilters": {"dfs": {"ops": [{"valid_nlags": {"n_lags": history}}], "expose_as": "dfs"}},
        "train_val_split": 0.8,
        "seed": 1002,
    }


def session_config(name: str, units: int) -> dict[str, Any]:
    """A session's own config."""
    return {"session": name, "lab": "simulation", "cids": list(range(units))}


def _plain(rate: float) -> int | float:
    return int(rate) if float(rate).is_integer() else float(rate)
