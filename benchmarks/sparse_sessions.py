"""Sessions as large as labs record them, as sparse files: movies and counts are holes that read as zeros."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
import torch
import yaml

_HOLE = 1 << 16


class SparseWriter:
    """A binary file that skips over zeros instead of writing them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, data: bytes) -> int:
        """Write ``data``, or leave a hole where it is long and zero."""
        view = np.frombuffer(data, np.uint8)
        if len(view) >= _HOLE and not view.any():
            self.file.seek(len(view), 1)
        else:
            self.file.write(data)
        return len(view)

    def flush(self) -> None:
        """Nothing is held back."""


def write_sessions(
    folder: Path, *, sessions: int, minutes: float, rate: int, size: int, units: int, trial_seconds: float = 10.0
) -> Path:
    """``sessions`` sessions of one type with eye traces and trials in ``folder``; returns their folder of YAMLs."""
    frames = round(minutes * 60 * rate)
    generator = np.random.default_rng(0)
    covariates = {
        "stim": torch.zeros((frames, size, size), dtype=torch.uint8),
        "robs": torch.zeros((frames, units)),
        "eyepos": torch.from_numpy(np.cumsum(generator.normal(0, 0.01, (frames, 2)), 0).astype(np.float32)),
        "dpi_valid": torch.from_numpy((np.arange(frames) % 4801 > 60).astype(np.float32)),
        "trial_inds": torch.arange(frames) // round(trial_seconds * rate),
        "t_bins": torch.arange(frames, dtype=torch.float64) / rate,
    }
    first = folder / _name(0) / "gaborium.dset"
    first.parent.mkdir(parents=True)
    with first.open("wb") as file:
        torch.save({"covariates": covariates, "metadata": {}}, cast(IO[bytes], SparseWriter(file)))
        file.truncate()
    for index in range(sessions):
        name = _name(index)
        if index:
            (folder / name).mkdir()
            subprocess.run(["cp", "--sparse=always", first, folder / name / "gaborium.dset"], check=True)
        config = {
            "session": name,
            "types": ["gaborium"],
            "cids": list(range(units)),
            "sampling": {"source_rate": rate, "target_rate": rate},
            "transforms": {"eye_pos": {"source": "eyepos", "ops": [{"diff": 0}, {"maxnorm": {}}],
                                       "expose_as": "behavior", "concatenate": True}},
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


def remove(folder: Path) -> None:
    """Delete what `write_sessions` wrote."""
    shutil.rmtree(folder)


def _name(index: int) -> str:
    return f"Sparse{index:02d}_2024-01-01"
