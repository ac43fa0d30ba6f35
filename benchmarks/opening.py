"""Seconds from the end of the imports to the first batch of many long sessions, and the anonymous memory that takes.

python -m benchmarks.opening [--sessions 30] [--minutes 60] [--rate 240] [--size 60] [--units 100] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.sparse_sessions import write_sessions

OPEN = """
import json, sys, time
from pathlib import Path
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.loader import TrainLoader
from vctrain.data.opening import open_sessions
from vctrain.data.sampler import ClipSampler
started = time.perf_counter()
sessions = open_sessions(load_dataset_configs(sys.argv[1]), 30)
opened = time.perf_counter()
sampler = ClipSampler(sessions, composition="equal", batch_clips=2 * len(sessions), context=30, clip_frames=64, seed=0)
batch = TrainLoader(sampler, sessions, steps_per_epoch=1, start_step=lambda: 0).batch(0)
done = time.perf_counter()
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) / 1024
print(json.dumps({"seconds_opening": opened - started, "seconds_to_first_batch": done - started, "anon_mb": peak,
                  "clips": sum(len(part.stim) for part in batch.parts)}))
"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("sessions", 30), ("minutes", 60), ("rate", 240), ("size", 60), ("units", 100)):
        parser.add_argument(f"--{name}", type=type(value), default=value)
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
        # Twice: the second time the pages of counts and traces are in memory, as after any first look at them.
        runs = [
            json.loads(subprocess.run([sys.executable, "-c", OPEN, str(made)], capture_output=True, check=True).stdout)
            for _ in range(2)
        ]
    print(json.dumps({"benchmark": "opening", **{k: v for k, v in vars(options).items() if k != "folder"},
                      "first": runs[0], "again": runs[1]}))  # fmt: skip


if __name__ == "__main__":
    main()
