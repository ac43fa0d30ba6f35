"""Gathering a batch against one uint8 slice a sample and default_collate: paired ratios in one process.

python -m benchmarks.gather [--size 60] [--units 100] [--repeats 15]

Clips: 8 clips of 64 scored frames, against the 512 windows of 25 frames that a system of one window a frame collates.
Windows: 256 windows of 25 frames at random places, against the same windows, sample by sample. Both sides give the
movie as uint8, counts, mask and behaviour (two columns of position). A sample takes its frames by the list of lags, as
the earlier system did; ``contiguous`` says what is left where it takes them as one contiguous slice instead. Freed
memory is kept by the process, as in training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.dset import open_dset
from vctrain.data.opening import open_sessions
from vctrain.training.allocator import keep_freed_memory

LAGS, CLIPS, CLIP_FRAMES, WINDOWS = 25, 8, 64, 256


class Samples:
    """One scored frame a sample, as slices of mapped tensors."""

    def __init__(self, path: Path, contiguous: bool) -> None:
        self.contiguous, self.lags = contiguous, torch.arange(LAGS - 1, -1, -1)
        covariates = open_dset(path).covariates
        self.stim, self.robs, self.eyepos = (covariates[name] for name in ("stim", "robs", "eyepos"))
        self.dfs = torch.ones(len(self.robs), 1)

    def __getitem__(self, frame: int) -> dict[str, torch.Tensor]:
        return {
            "stim": self.stim[frame - LAGS + 1 : frame + 1] if self.contiguous else self.stim[frame - self.lags],
            "robs": self.robs[frame],
            "dfs": self.dfs[frame],
            "behavior": self.eyepos[frame],
        }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("size", 60), ("units", 100), ("repeats", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = _recording(Path(folder), options.size, options.units)
        (session,) = open_sessions(load_dataset_configs(folder), LAGS - 1)
        generator = np.random.default_rng(0)
        first = session.segments()[:, 0]

        def starts(n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
            return first[generator.integers(0, len(first), n)] + LAGS + generator.integers(0, 200, n)

        clip_starts, window_starts = starts(CLIPS), starts(WINDOWS)
        frames = [int(start) + step for start in clip_starts for step in range(CLIP_FRAMES)]
        result = {}
        for name, contiguous in (("by_lags", False), ("contiguous", True)):
            samples = Samples(path, contiguous)
            collated = default_collate([samples[int(frame)] for frame in window_starts])
            assert session.gather(window_starts, frames=1).stim.equal(collated["stim"])  # type: ignore[union-attr]
            result[name] = {
                "clips": _paired(
                    lambda: session.gather(clip_starts, frames=CLIP_FRAMES),
                    lambda samples=samples: default_collate([samples[frame] for frame in frames]),  # type: ignore[misc]
                    options.repeats,
                ),
                "windows": _paired(
                    lambda: session.gather(window_starts, frames=1),
                    lambda samples=samples: default_collate(  # type: ignore[misc]
                        [samples[int(frame)] for frame in window_starts]
                    ),
                    options.repeats,
                ),
            }
    print(json.dumps({"benchmark": "gather", **vars(options), **result}))


def _recording(folder: Path, size: int, units: int) -> Path:
    frames = 120 * 300
    generator = np.random.default_rng(0)
    covariates = {
        "stim": torch.from_numpy(generator.integers(0, 256, (frames, size, size), dtype=np.uint8)),
        "robs": torch.from_numpy(generator.poisson(0.1, (frames, units)).astype(np.float32)),
        "eyepos": torch.from_numpy(generator.normal(0, 1, (frames, 2)).astype(np.float32)),
        "trial_inds": torch.arange(frames) // 300,
    }
    path = folder / "Ada_1" / "gaborium.dset"
    path.parent.mkdir()
    torch.save({"covariates": covariates, "metadata": {"rate_hz": 120.0}}, path)
    transforms = "transforms: {eye_pos: {source: eyepos, ops: [], expose_as: behavior, concatenate: true}}"
    (folder / "Ada_1.yaml").write_text(f"cids: {list(range(units))}\n{transforms}\n")
    return path


def _paired(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> dict[str, float]:
    ours(), theirs()
    ratios, seconds = [], []
    for _ in range(repeats):
        times = []
        for work in (ours, theirs):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        ratios.append(times[1] / times[0])
        seconds.append(times)
    mine, other = (statistics.median(pair[side] for pair in seconds) for side in (0, 1))
    return {"times_faster": round(statistics.median(ratios), 1), "ms": 1e3 * mine, "ms_by_samples": 1e3 * other}


if __name__ == "__main__":
    main()
