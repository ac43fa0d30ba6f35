"""Whether memory grows with the recordings: peak anonymous memory of a short run on 8- and 32-minute sessions.

python -m benchmarks.memory [--minutes 8] [--factor 4]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.measure import run_measured


def _peak(folder: Path, minutes: float) -> float:
    """Peak of training alone, in MB: the sessions are simulated beforehand."""
    sessions = folder / f"sessions-{minutes:g}"
    run_measured(["simulate", str(sessions), "--minutes", str(minutes)])
    arguments = ["train", "--preset", "gaborium", "--set", "model=twin_small", "--data", str(sessions / "dataset.yaml")]
    settings = {
        "data.batch_clips": 8,
        "data.composition": "equal",
        "trainer.precision": "32-true",
        "trainer.max_epochs": 2,
        "trainer.steps_per_epoch": 20,
        "optim.warmup_steps": 5,
    }
    arguments += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    measured = run_measured([*arguments, "--run-dir", str(folder / f"run-{minutes:g}")], dict(os.environ))
    return measured.peak_anon_mb


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--factor", type=float, default=4.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        short = _peak(Path(folder), options.minutes)
        long = _peak(Path(folder), options.minutes * options.factor)
    print(
        json.dumps(
            {
                "benchmark": "memory",
                "minutes": options.minutes,
                "factor": options.factor,
                "peak_anon_mb": short,
                "peak_anon_mb_longer": long,
                "ratio": long / short,
            }
        )
    )


if __name__ == "__main__":
    main()
