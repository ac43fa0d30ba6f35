"""How long simulating the default sessions takes, and how much memory.

python -m benchmarks.simulate [--sessions 4] [--minutes 8] [--units 24] [--size 32] [--rate 120]
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
    defaults = {"sessions": 4, "minutes": 8.0, "units": 24, "size": 32, "rate": 120.0}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    settings = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        measured = run_measured(["simulate", str(out), *flags])
        written = sum(path.stat().st_size for path in out.rglob("*.dset")) / 1e6
        oracle = json.loads((out / "simulation.json").read_text())["oracle"]
    print(
        json.dumps(
            {
                "benchmark": "simulate",
                "settings": settings,
                "cores": len(os.sched_getaffinity(0)),
                "seconds": measured.seconds,
                "peak_anon_mb": measured.peak_anon_mb,
                "written_mb": round(written, 1),
                "oracle": oracle,
            }
        )
    )


if __name__ == "__main__":
    main()
