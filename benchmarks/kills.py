"""Is a run that is killed again and again, and resumed each time, the same run? SIGKILL at random instants.

python -m benchmarks.kills [--kills 100] [--processes 1 2] [--seed 0] [--folder DIR]

Each command is killed within its first seconds of training, some while they start. A run that is done is followed by
another of the same settings until there were enough kills. What is left at the end is compared with a run that nobody
killed: every tensor and number of last.ckpt and best.ckpt, the bytes of metrics.csv, the list of the best, the files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import vctrain.training.resuming  # noqa: F401 - loaded once, for all commands
from benchmarks.same_run import differing
from vctrain import cli
from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import simulate

SIMULATION = SimulationConfig(
    sessions=2, units=4, minutes=1.5, size=16, rate=60.0, types=("gaborium", "backimage"), seed=5
)
MODEL = {
    "adapter": {"type": "adapter"},
    "frontend": {"type": "learnable_temporal", "kernel_size": 6, "num_channels": 2},
    "convnet": {"type": "resnet", "stem": {"channels": 4, "kernel": [1, 5, 5], "stride": 2, "norm": "rms"}},
    "modulator": {"type": "film", "dims": [6, 4]},
}
STEPS_PER_EPOCH = 20
WHILE_STARTING = 0.1
"""How many of the kills come before training."""
STARTING_SECONDS = 3.0
WINDOW_SECONDS = 2.0
"""Of training, in which the others come."""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=20, help=f"of {STEPS_PER_EPOCH} steps, of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept afterwards; a temporary one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vctrain-kills-") as temporary:
        folder = options.folder or Path(temporary)
        simulate(folder / "sessions", SIMULATION)
        results = [
            _killed_runs(folder, processes, options.kills, options.epochs, random.Random(options.seed))
            for processes in options.processes
        ]
    print(json.dumps({"benchmark": "kills", "seed": options.seed, "results": results}))


def _killed_runs(folder: Path, processes: int, kills: int, epochs: int, chance: random.Random) -> dict[str, Any]:
    reference = folder / f"whole-{processes}"
    started = time.monotonic()
    done = _command(folder, reference, processes, epochs)
    if (code := done.wait()) != 0:
        raise SystemExit(f"the run that nobody killed ended with {code}: {reference}")
    differences: list[str] = []
    phases: Counter[str] = Counter()
    runs = 0
    while sum(phases.values()) < kills:
        run = folder / f"killed-{processes}-{runs}"
        runs += 1
        while sum(phases.values()) < kills:
            if (phase := _start_and_kill(folder, run, processes, epochs, chance)) is None:
                break
            phases[phase] += 1
            print(f"{run.name}: kill {sum(phases.values())} while {phase}", file=sys.stderr, flush=True)
        if (code := _command(folder, run, processes, epochs).wait()) == 0:
            differences += [f"{run.name}: {what}" for what in differing(reference, run)]
        else:
            differences.append(f"{run.name}: resuming ended with {code}")
    return {
        "processes": processes,
        "kills": sum(phases.values()),
        "runs": runs,
        "steps_of_a_run": epochs * STEPS_PER_EPOCH,
        "phases": dict(phases),
        "bit_identical": not differences,
        "differences": differences,
        "seconds": round(time.monotonic() - started),
    }


class Command:
    """``vctrain ARGUMENTS`` in a copy of this process, whose libraries are loaded: most of a start is loading them."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["vctrain", *arguments]
            try:
                cli.main(arguments)
            except SystemExit as leaving:
                os._exit(leaving.code if isinstance(leaving.code, int) else 1)
            finally:
                traceback.print_exc()
                os._exit(1)

    def poll(self, *, wait: bool = False) -> int | None:
        """How it ended, if it has."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """How it ends."""
        code = self.poll(wait=True)
        assert code is not None
        return code


def _command(folder: Path, run: Path, processes: int, epochs: int) -> Command:
    """The command that starts the run or goes on with it."""
    settings = {
        "model": MODEL,
        "trainer": {"max_epochs": epochs, "steps_per_epoch": STEPS_PER_EPOCH},
        "data": {"batch_clips": 4, "clip_frames": 32},
        "optim": {"lr": 3e-3, "warmup_steps": 3},
        "checkpoint": {"keep_best": 3, "every_n_steps": 3},
    }
    config = folder / "settings.yaml"
    config.write_text(json.dumps(settings))
    arguments = ["resume", str(run), "--or-start", "--config", str(config), "--data", str(folder / "sessions")]
    return Command([*arguments, "--devices", str(processes), "--accelerator", "cpu", "--quiet"])


def _start_and_kill(folder: Path, run: Path, processes: int, epochs: int, chance: random.Random) -> str | None:
    """Start or resume, kill at a random instant; in which phase, or None if the run was done before."""
    before = _events(run)
    process = _command(folder, run, processes, epochs)
    starting = chance.random() < WHILE_STARTING
    if starting:
        time.sleep(chance.uniform(0.0, STARTING_SECONDS))
    else:
        while process.poll() is None and not _is_training(_events(run)[len(before) :]):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, WINDOW_SECONDS))
    if process.poll() is not None:
        return None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if processes > 1:
        time.sleep(0.5)
    return "starting" if not _is_training(_events(run)[len(before) :]) else _phase(run)


def _events(run: Path) -> list[str]:
    path = run / "events.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def _is_training(events: Sequence[str]) -> bool:
    return any('"resumed"' in event or ('"initialised"' in event and '"temporal"' in event) for event in events)


def _phase(run: Path) -> str:
    parts = [path.name for path in (run / "checkpoints").glob(".*.part")]
    if parts:
        return "saving" if any("last" in part or "previous" in part for part in parts) else "saving the best"
    last, metrics = run / "checkpoints" / "last.ckpt", run / "metrics.csv"
    if not last.exists():
        return "steps"
    step = torch.load(last, weights_only=True)["global_step"]
    rows = metrics.read_text().splitlines() if metrics.exists() else []
    validated = any(row.startswith(f"{step},") for row in rows)
    return "validation" if step % STEPS_PER_EPOCH == 0 and not validated else "steps"


if __name__ == "__main__":
    main()
