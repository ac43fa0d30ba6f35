"""Gathering a batch against one uint8 slice a sample and default_collate: paired ratios of one run.

python -m benchmarks.gather [--size 60] [--units 100] [--repeats 15]

Clips: 8 clips of 64 scored frames, against the 512 windows of 25 frames that a system of one window a frame collates.
Windows: 256 windows of 25 frames, against the same windows, sample by sample. Both sides give the movie as uint8,
counts, mask and behaviour (two columns of position), batch after batch at new random places, from the page cache.

``by_lags``: a sample takes its frames by the list of lags, as the earlier system did; ``contiguous``: as one contiguous
slice. Each side runs in a process of its own, and they take turns. That of vctrain keeps freed memory, as its training
does; the others have the ordinary allocation of memory (that of the earlier system) or, ``_memory_kept``, the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
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
from vctrain.data.session import Session
from vctrain.training.allocator import keep_freed_memory

LAGS, CLIP_FRAMES = 25, 64
N = {"clips": 8, "windows": 256}
BATCHES = {"clips": 64, "windows": 8}
"""Batches of vctrain a turn, so that turns are about equally long: half of eight batches ran with cold caches, which
one batch of the others, two hundred times as long, hardly notices."""
OTHERS = ("by_lags", "contiguous", "by_lags_memory_kept", "contiguous_memory_kept")


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


class Side:
    """A process that gathers batches when told to, and tells the seconds each took."""

    def __init__(self, name: str, folder: Path) -> None:
        self.ours = name == "vctrain"
        command = [sys.executable, "-m", "benchmarks.gather", "--side", name, "--folder", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, task: str, seed: int) -> tuple[float, float]:
        """Seconds a batch, and processor seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(task, seed, BATCHES[task] if self.ours else 1, file=self.process.stdin, flush=True)
        wall, cpu = self.process.stdout.readline().split()
        return float(wall), float(cpu)

    def end(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve(name: str, folder: Path) -> None:
    """Gathers what standard input asks for: task, seed and number of batches a line."""
    if name == "vctrain" or name.endswith("_memory_kept"):
        keep_freed_memory()
    (session,) = open_sessions(load_dataset_configs(folder), LAGS - 1)
    samples = Samples(next(folder.glob("*/*.dset")), name.startswith("contiguous"))
    work = _ours(session) if name == "vctrain" else _theirs(samples)
    if name == "vctrain":
        _check(session, samples)
    for line in sys.stdin:
        task, seed, batches = line.split()
        starts = _starts(session, N[task], int(seed), int(batches))
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for places in starts:
            work(task, places)
        wall, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        print(wall / len(starts), cpu / len(starts), flush=True)


def _ours(session: Session) -> Callable[[str, Any], Any]:
    return lambda task, starts: session.gather(starts, frames=CLIP_FRAMES if task == "clips" else 1)


def _theirs(samples: Samples) -> Callable[[str, Any], Any]:
    def collate(task: str, starts: Any) -> Any:
        each = range(CLIP_FRAMES) if task == "clips" else range(1)
        return default_collate([samples[start + step] for start in starts.tolist() for step in each])

    return collate


def _starts(session: Session, n: int, seed: int, batches: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    generator = np.random.default_rng(seed)
    first = session.segments()[:, 0]
    return [first[generator.integers(0, len(first), n)] + LAGS + generator.integers(0, 200, n) for _ in range(batches)]


def _check(session: Session, samples: Samples) -> None:
    """Both sides read the same."""
    (starts,) = _starts(session, 50, 0, 1)
    ours, theirs = session.gather(starts, frames=1), default_collate([samples[start] for start in starts.tolist()])
    assert ours.behavior is not None
    assert ours.stim is not None
    found = {"stim": ours.stim, "robs": ours.robs[:, 0], "dfs": ours.dfs[:, 0], "behavior": ours.behavior[:, -1]}
    assert all(torch.equal(found[name], theirs[name]) for name in theirs)


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("size", 60), ("units", 100), ("repeats", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        _recording(Path(folder), options.size, options.units)
        sides = {name: Side(name, Path(folder)) for name in ("vctrain", *OTHERS)}
        result = {task: _paired(sides, task, options.repeats) for task in N}
        for side in sides.values():
            side.end()
    told = {name: getattr(options, name) for name in ("size", "units", "repeats")}
    print(json.dumps({"benchmark": "gather", **told, **result}))


def _paired(sides: dict[str, Side], task: str, repeats: int) -> dict[str, Any]:
    """Milliseconds a batch and how many times faster vctrain is than each other side, by the clock and by the processor
    time, which other programs on the machine stretch less: medians over turns."""
    turns = [{name: side.seconds(task, seed) for name, side in sides.items()} for seed in range(repeats + 2)][2:]
    result: dict[str, Any] = {}
    for clock, (ms, faster) in enumerate((("ms", "times_faster"), ("cpu_ms", "times_faster_cpu"))):
        result[ms] = {name: round(1e3 * statistics.median(turn[name][clock] for turn in turns), 3) for name in sides}
        ratios = {name: [turn[name][clock] / turn["vctrain"][clock] for turn in turns] for name in OTHERS}
        result[faster] = {name: round(statistics.median(ratio), 1) for name, ratio in ratios.items()}
    return result


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


if __name__ == "__main__":
    main()
