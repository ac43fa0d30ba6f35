"""Seconds from the end of the imports to the first batch of many long sessions, bytes read for it and peak memory.

python -m benchmarks.opening [--sessions 30] [--minutes 60] [--rate 240] [--size 60] [--units 100] [--repeats 3]
                             [--folder DIR]

``cold``: the recordings are on the disk alone; ``warm``: what is read is in the page cache. Memory is the peak of
RssAnon over the whole process, imports included, sampled every few milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import anonymous_mb
from benchmarks.sparse_sessions import write_sessions

SAMPLE_SECONDS = 0.005

OPEN = """
import json, sys, time
from pathlib import Path
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.loader import TrainLoader
from vctrain.data.opening import open_sessions
from vctrain.data.sampler import ClipSampler
def read():
    return int(Path("/proc/self/io").read_text().split("read_bytes: ")[1].split()[0])
before, started = read(), time.perf_counter()
sessions = open_sessions(load_dataset_configs(sys.argv[1]), 30)
opened = time.perf_counter()
sampler = ClipSampler(sessions, composition="equal", batch_clips=2 * len(sessions), context=30, clip_frames=64, seed=0)
batch = TrainLoader(sampler, sessions, steps_per_epoch=1, start_step=lambda: 0).batch(0)
done = time.perf_counter()
print(json.dumps({"seconds_opening": opened - started, "seconds_to_first_batch": done - started,
                  "mb_read": (read() - before) / 1e6, "clips": sum(len(part.stim) for part in batch.parts)}))
"""


def drop_pages(folder: Path) -> None:
    """Has the kernel forget what it holds of the recordings in memory."""
    for path in folder.glob("*/*.dset"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measured(folder: Path) -> dict[str, float]:
    """One opening in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", OPEN, str(folder)], stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, anonymous_mb(process.pid))
        time.sleep(SAMPLE_SECONDS)
    assert process.stdout is not None
    output = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "opening", output)
    return {**json.loads(output), "peak_anon_mb": peak}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure, and of seconds and memory also the worst."""
    middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    worst = {f"worst_{name}": max(run[name] for run in runs) for name in ("seconds_to_first_batch", "peak_anon_mb")}
    return {name: round(value, 3) for name, value in (middle | worst).items()}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {"sessions": 30, "minutes": 60, "rate": 240, "size": 60, "units": 100, "repeats": 3}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, help="where the sparse files go (a new folder in it)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        made = write_sessions(
            Path(folder) / "sessions",
            sessions=options.sessions,
            minutes=options.minutes,
            rate=options.rate,
            size=options.size,
            units=options.units,
        )
        cold = []
        for _ in range(options.repeats):
            drop_pages(made)
            cold.append(measured(made))
        warm = [measured(made) for _ in range(options.repeats)]
    told = {name: value for name, value in vars(options).items() if name != "folder"}
    print(json.dumps({"benchmark": "opening", **told, "cold": medians(cold), "warm": medians(warm)}))


if __name__ == "__main__":
    main()
