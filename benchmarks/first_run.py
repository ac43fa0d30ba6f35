"""The first README command on a fresh cache: seconds, memory, and how near the result comes to the oracle.

python -m benchmarks.first_run [--preset gaborium] [--minutes 8] [--epochs N]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks.measure import run_measured


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gaborium")
    parser.add_argument("--minutes", type=float, default=8.0, help="minutes a simulated session")
    parser.add_argument("--epochs", type=int, help="epochs instead of the preset's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "VCTRAIN_CACHE": str(Path(folder) / "cache")}
        arguments = ["train", "--preset", options.preset, "--run-dir", str(Path(folder) / "run")]
        arguments += ["--set", f"simulation.minutes={options.minutes}"]
        if options.epochs:
            arguments += ["--set", f"trainer.max_epochs={options.epochs}"]
        measured = run_measured(arguments, environment)
    keys = ("val_bps_overall", "oracle_bps_overall", "fraction_of_oracle", "steps", "val_bps")
    print(
        json.dumps(
            {
                "benchmark": "first_run",
                "preset": options.preset,
                "minutes": options.minutes,
                "seconds_in_all": measured.seconds,
                "seconds_training": measured.output["seconds"],
                "peak_anon_mb": measured.peak_anon_mb,
                **{key: measured.output[key] for key in keys},
            }
        )
    )


if __name__ == "__main__":
    main()
