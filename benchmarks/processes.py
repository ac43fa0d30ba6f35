"""Two processes of one thread against one of two, equal global batch: throughput, in runs that take turns.

python -m benchmarks.processes [--pairs 5] [--steps 40] [--clips 16]

Each run is `vctrain train` on the simulated sessions of the first README command, with `twin_small`: two epochs, of
which the second counts (``step_seconds`` of events.jsonl: the mean time from the end of a step to the end of the next).
``ratio`` is the throughput of two processes over that of one.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.measure import run_measured
from benchmarks.paired import quartiles
from benchmarks.simulated import events_of, parser_of, sessions_of, sets, workplace
from vctrain.config.simulation import SimulationConfig


def step_seconds(run: Path, data: Path, processes: int, threads: int, options: argparse.Namespace) -> float:
    """Mean seconds of a step in the second epoch of a run on so many processes of so many threads."""
    settings: dict[str, Any] = {
        "model": "twin_small",
        "data.batch_clips": options.clips,
        "data.composition": "equal",
        "trainer.precision": "32-true",
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 2,
        "trainer.steps_per_epoch": options.steps,
        "optim.warmup_steps": 5,
        "logging.plots_every": 0,
        "seed": options.seed,
    }
    arguments = ["train", "--preset", "gaborium", "--data", str(data), "--run-dir", str(run), *sets(settings)]
    run_measured([*arguments, "--devices", str(processes)], {**os.environ, "OMP_NUM_THREADS": str(threads)})
    return float(events_of(run, "validated")[-1]["step_seconds"])


def main() -> None:
    """Print one JSON object."""
    parser = parser_of(__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of an epoch")
    parser.add_argument("--clips", type=int, default=16, help="of a step, over all processes")
    options = parser.parse_args()
    simulated = SimulationConfig(seed=options.seed)
    if options.smoke:
        simulated = SimulationConfig(sessions=2, units=4, minutes=1.5, size=16, rate=60.0, seed=options.seed)
        options.pairs, options.steps, options.clips = 1, 4, 4
    data = sessions_of(simulated) / "dataset.yaml"
    found: list[dict[str, float]] = []
    with workplace(options) as folder:
        for pair in range(options.pairs):
            order = ((1, 2), (2, 1)) if pair % 2 == 0 else ((2, 1), (1, 2))
            took = {n: step_seconds(folder / f"{pair}-{n}", data, n, threads, options) for n, threads in order}
            found.append({"one": took[1], "two": took[2], "ratio": took[1] / took[2]})
    low, middle, high = quartiles([pair["ratio"] for pair in found])
    figures = {"ratio": middle, "quartiles": [low, high], "bar": 0.9, "pairs": found}
    print(json.dumps({"benchmark": "processes", "clips": options.clips, "steps": options.steps, **figures}))


if __name__ == "__main__":
    main()
