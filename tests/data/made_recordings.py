"""Recordings small enough to write in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

EYE_VELOCITY = {
    "eye_vel": {
        "source": "eyepos",
        "ops": [
            {"diff": {"axis": 0}},
            {"maxnorm": {}},
            {"symlog": {}},
            {"temporal_basis": {"num_cosine_funcs": 3, "history_bins": 9, "causal": False, "log_spacing": False,
                                "peak_range_ms": [5, 35]}},
            {"splitrelu": {"split_dim": 1}},
        ],
        "expose_as": "behavior",
        "concatenate": True,
    },
    "eye_pos": {"source": "eyepos", "ops": [], "expose_as": "behavior", "concatenate": True},
}  # fmt: skip


def covariates(
    trials: Sequence[int] = (60,) * 10,
    units: int = 3,
    size: tuple[int, int] = (4, 5),
    seed: int = 0,
    gaps: Sequence[tuple[int, int]] = (),
    eyepos: bool = True,
    rate: float = 100.0,
) -> dict[str, torch.Tensor]:
    """Covariates of a recording whose trials have the lengths `trials`; dpi_valid is 0 in `gaps`."""
    generator = np.random.default_rng(seed)
    frames = sum(trials)
    valid = np.ones(frames, np.float32)
    for start, stop in gaps:
        valid[start:stop] = 0
    made = {
        "stim": torch.from_numpy(generator.integers(0, 256, (frames, *size), dtype=np.uint8)),
        "robs": torch.from_numpy(generator.poisson(0.5, (frames, units)).astype(np.float32)),
        "trial_inds": torch.from_numpy(np.repeat(np.arange(len(trials)), trials)),
        "t_bins": torch.from_numpy(np.arange(frames) / rate),
        "dpi_valid": torch.from_numpy(valid),
    }
    if eyepos:
        made["eyepos"] = torch.from_numpy(np.cumsum(generator.normal(size=(frames, 2)), 0).astype(np.float32))
    return made


def write(path: Path, content: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> Path:
    """A `.dset` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"covariates": dict(content), "metadata": dict(metadata or {})}, path)
    return path


def write_config(folder: Path, name: str, types: Sequence[str], cids: Sequence[int], **more: Any) -> Path:
    """A complete dataset YAML beside the session folder."""
    config = {
        "session": name,
        "types": list(types),
        "cids": list(cids),
        "sampling": {"source_rate": 100, "target_rate": 100},
        "transforms": {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}]}, **EYE_VELOCITY},
        **more,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
