"""Anonymous memory does not grow with the length of the recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_recordings import write, write_config

READ = """
import sys, threading
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.loader import EvalLoader, TrainLoader
from vctrain.data.opening import open_sessions
from vctrain.data.rates import training_rates
from vctrain.data.sampler import ClipSampler

def anonymous():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024

for config in sys.argv[1:]:
    sessions = open_sessions(load_dataset_configs(config), 12)
    sampler = ClipSampler(sessions, composition="equal", batch_clips=16, context=12, clip_frames=64, seed=0)
    peak = anonymous()
    for batch in TrainLoader(sampler, sessions, steps_per_epoch=100, start_step=lambda: 0):
        peak = max(peak, anonymous())
    training_rates(sessions[0])
    for batch in EvalLoader(sessions, "all", context=12):
        peak = max(peak, anonymous())
    sessions[0].describe()
    print(max(peak, anonymous()))
"""


def long_session(folder: Path, name: str, frames: int) -> Path:
    """A session of many trials; the movie of the longer one is 118 MB."""
    content = {
        "stim": torch.full((frames, 24, 24), 127, dtype=torch.uint8),
        "robs": torch.ones(frames, 40),
        "trial_inds": torch.arange(frames) // 500,
        "dpi_valid": torch.ones(frames),
        "eyepos": torch.arange(2 * frames).reshape(frames, 2).sin(),
        "t_bins": torch.arange(frames) / 100,
    }
    write(folder / name / "a.dset", content)
    return write_config(folder, name, ["a"], range(40))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_anonymous_memory_is_flat(tmp_path: Path) -> None:
    # the first reading warms up what is loaded once in a process
    paths = [long_session(tmp_path, f"Ada_{n}", frames) for n, frames in enumerate((50_000, 50_000, 200_000))]
    command = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    _, short, long = (float(line) for line in done.stdout.split())
    assert long < 1.1 * short
    assert long - short < 12
