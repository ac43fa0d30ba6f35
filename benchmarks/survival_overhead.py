"""What being able to stop, resume and be watched costs a training step: paired ratios of blocks with and without it.

python -m benchmarks.survival_overhead [--blocks 150] [--steps 4] [--processes 1 2]

Blocks of steps of one run alternate: as always, and without boundaries, agreement, watchdog and the seed of the step.
The twin is far smaller than any that is trained, so the share is an upper bound. CPU time is less disturbed by whatever
else the machine does than the clock, but does not see waiting. Writing a checkpoint is measured apart, and charged as
often as the default `checkpoint.every_n_minutes` says.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from benchmarks.kills import MODEL
from vctrain.config.resolve import read_settings, resolve
from vctrain.config.schema import CheckpointConfig, Settings
from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import simulate
from vctrain.runs import directory
from vctrain.runs.supervisor import run_ranks
from vctrain.training import fit
from vctrain.training.callbacks.boundaries import Boundaries
from vctrain.training.callbacks.checkpoints import Checkpoints
from vctrain.training.callbacks.watchdog import Watchdog
from vctrain.training.module import TwinModule
from vctrain.training.prepare import prepare

SIMULATION = SimulationConfig(sessions=2, units=8, minutes=3.0, size=32, types=("gaborium",), seed=5)
HOOKS = {
    Boundaries: ("on_train_batch_end",),
    Watchdog: ("on_train_batch_start", "on_before_backward", "on_train_batch_end"),
}


class Blocks(pl.Callback):
    """Switches the mechanisms on and off every ``steps`` steps, and keeps the seconds of each block."""

    def __init__(self, steps: int) -> None:
        self.steps, self.on = steps, True
        self.seconds: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        """By the clock, and of the CPU."""
        self.saving: list[float] = []
        self._begun: tuple[float, float] | None = None

    def switch(self, function: Any) -> Any:
        """``function`` while the mechanisms are on, else nothing."""

        def switched(*arguments: Any, **more: Any) -> Any:
            return function(*arguments, **more) if self.on else None

        return switched

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.steps:
            return
        now = time.perf_counter(), time.process_time()
        if self._begun is not None:
            self.seconds[self.on].append((now[0] - self._begun[0], now[1] - self._begun[1]))
            self.on = not self.on
        self._begun = now


class _Unseeded:
    def manual_seed(self, seed: int) -> None:
        """Leave the generator as it is."""


def measure(folder: str, steps: int) -> dict[str, Any]:
    """One run in this process, as `vctrain.training.fit.train_rank` does it."""
    run = Path(folder)
    settings = read_settings(run / "config.yaml")
    blocks = Blocks(steps)
    for kind, names in HOOKS.items():
        for name in names:
            setattr(kind, name, blocks.switch(getattr(kind, name)))
    training_step = TwinModule.training_step
    generator = torch.default_generator

    def unseeded(*arguments: Any) -> Any:
        torch.default_generator = generator if blocks.on else _Unseeded()  # type: ignore[assignment]
        return training_step(*arguments)

    TwinModule.training_step = unseeded  # type: ignore[method-assign, assignment]
    made = fit._callbacks
    fit._callbacks = lambda settings, *ours: [blocks, *made(settings, *ours)]
    save = Checkpoints.save_last

    def timed(checkpoints: Any, trainer: pl.Trainer) -> None:
        begun = time.perf_counter()
        save(checkpoints, trainer)
        blocks.saving.append(time.perf_counter() - begun)

    Checkpoints.save_last = timed  # type: ignore[method-assign, assignment]
    prepared = prepare(settings, settings.trainer.devices)
    with ExitStack() as afterwards:
        fit.carry_out(settings, prepared, run, afterwards)
    return {"on": blocks.seconds[True], "off": blocks.seconds[False], "saving": blocks.saving}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=150, help="of each kind")
    parser.add_argument("--steps", type=int, default=4, help="of a block")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    results = []
    with tempfile.TemporaryDirectory(prefix="vctrain-overhead-") as temporary:
        simulate(Path(temporary) / "sessions", SIMULATION)
        for processes in options.processes:
            run = Path(temporary) / f"run-{processes}"
            directory.create_run_dir(run, _settings(temporary, processes, options), {}, [])
            measured = run_ranks(
                "benchmarks.survival_overhead:measure", {"folder": str(run), "steps": options.steps}, processes
            )
            results.append({"processes": processes, **_summary(measured, options.steps)})
    print(json.dumps({"benchmark": "survival_overhead", **vars(options), "results": results}))


def _settings(folder: str, processes: int, options: argparse.Namespace) -> Settings:
    flags = {
        "data.path": f"{folder}/sessions",
        "data.batch_clips": 4,
        "data.clip_frames": 32,
        "trainer.devices": processes,
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": 1,
        "trainer.steps_per_epoch": 2 * options.blocks * options.steps + 1,
        "trainer.precision": "32-true",
        "init.map_minutes": 0.1,
    }
    return resolve(flags=flags | {"model": MODEL}).settings


def _summary(measured: dict[str, Any], steps: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, name in enumerate(("clock", "cpu")):
        on, off = ([block[kind] for block in measured[how]] for how in ("on", "off"))
        # the first block warms up; each block without is compared with those on both of its sides
        ratios = [(on[i] + on[i + 1]) / (2 * off[i]) - 1 for i in range(1, min(len(off), len(on) - 1))]
        lower, median, upper = statistics.quantiles(ratios, n=4)
        found |= {f"overhead_{name}": round(median, 4), f"quartiles_{name}": [round(lower, 4), round(upper, 4)]}
        found |= {f"step_ms_{name}": round(1e3 * statistics.median(on[1:]) / steps, 2), "pairs": len(ratios)}
    saving = statistics.median(measured["saving"])
    minutes = CheckpointConfig().every_n_minutes or float("inf")
    return found | {"save_ms": round(1e3 * saving, 1), "saving_share": round(saving / (60.0 * minutes), 5)}


if __name__ == "__main__":
    main()
