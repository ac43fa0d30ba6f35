"""What `finetune --cache-features` saves: a training step, and whole runs, over the same without it.

python -m benchmarks.cached_features [--model twin_small] [--set model.A.B=VALUE] [--steps 20] [--steps-only]

A base is trained for one short epoch on simulated sessions; its core is then frozen. Steps alternate between the two
kinds and their ratios are of pairs. Whole runs are `vctrain finetune` as commands: without the cache, with an empty
cache (so that writing is part of it), and with the cache that this left. What is saved is the vision's share of a step,
so the ratio is that of the model: `--set` (repeatable) changes parts of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import run_measured
from vctrain.config.resolve import resolve
from vctrain.data.loader import TrainLoader
from vctrain.training import features
from vctrain.training.loaders import reads_of
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.prepare import prepare


def _sets(options: argparse.Namespace) -> dict[str, object]:
    return {
        "model": options.model,
        "data.batch_clips": 8,
        "data.clip_frames": 64,
        "data.composition": "equal",
        "trainer.precision": "32-true",
        "trainer.accelerator": "cpu",
        "trainer.max_epochs": options.epochs,
        "trainer.steps_per_epoch": options.steps_per_epoch,
        "optim.warmup_steps": 5,
        "optim.core_lr_scale": 1.0,
        "regularization": [],
    }


def _as_arguments(sets: dict[str, object]) -> list[str]:
    return [word for key, value in sets.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def _steps(settings: Any, steps: int) -> dict[str, float]:
    """Milliseconds of a training step of either kind, gathering included, and the median ratio of pairs."""
    prepared = prepare(settings, 1)
    twin, sessions, sampler = prepared.twin, prepared.sessions, prepared.sampler
    assert prepared.features is not None
    stored = features.fill(prepared.features, twin, sessions, 0, 1)
    loaders = [
        TrainLoader(sampler, sessions, steps_per_epoch=steps, start_step=lambda: 0, reads=reads_of(twin, kept))
        for kept in ({}, stored)
    ]
    optimizer = build_optimizer(parameter_groups(twin, settings.optim), settings.optim)

    def step(number: int, loader: TrainLoader) -> float:
        begin = time.perf_counter()
        batch = loader.batch(number)
        loss = step_loss(session_losses(twin(batch.parts), batch), batch, 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - begin

    for loader in loaders:
        step(0, loader)
    times = [[step(number, loader) for loader in loaders] for number in range(1, steps + 1)]
    live, cached = zip(*times, strict=True)
    return {
        "live_ms": round(1e3 * statistics.median(live), 1),
        "cached_ms": round(1e3 * statistics.median(cached), 1),
        "ratio": round(statistics.median(one / two for one, two in times), 2),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="twin_small")
    parser.add_argument("--set", action="append", default=[], metavar="model.A.B=VALUE")
    parser.add_argument("--steps-only", action="store_true")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps-per-epoch", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"benchmark": "cached_features", **vars(options), **_measured(Path(folder), options)}))


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    os.environ["VCTRAIN_CACHE"] = str(folder / "cache")
    run_measured(["simulate", str(folder / "sessions"), "--minutes", str(options.minutes)])
    data, base = str(folder / "sessions" / "dataset.yaml"), str(folder / "base")
    sets = _sets(options)
    short = _as_arguments({**sets, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "init.map_minutes": 0.1})
    short += [word for text in options.set for word in ("--set", text)]
    run_measured(["train", "--preset", "gaborium", "--data", data, "--run-dir", base, *short])
    start = {"start.checkpoint": base, "start.freeze": ["core", "adapters"], "start.cache_features": True}
    flags = {key: value for key, value in sets.items() if key != "model"}
    chosen = resolve(
        "gaborium", [], [f"model={options.model}", *options.set], {**flags, "data.path": data, **start}
    ).settings
    step = _steps(chosen, options.steps)
    if options.steps_only:
        return {"step": step}
    shutil.rmtree(folder / "cache" / "vctrain" / "features")
    asked = ["finetune", base, "--freeze", "core", "--freeze", "adapters", *_as_arguments(flags)]
    runs = {
        "live": run_measured([*asked, "--run-dir", str(folder / "live")]),
        "writing": run_measured([*asked, "--cache-features", "--run-dir", str(folder / "writing")]),
        "reusing": run_measured([*asked, "--cache-features", "--run-dir", str(folder / "reusing")]),
    }
    scores = [run.output["val_bps_overall"] for run in runs.values()]
    return {
        "bytes": runs["writing"].output["features"]["bytes"],
        "step": step,
        "run": {
            **{f"{name}_s": run.seconds for name, run in runs.items()},
            "ratio_writing": round(runs["live"].seconds / runs["writing"].seconds, 2),
            "ratio_reusing": round(runs["live"].seconds / runs["reusing"].seconds, 2),
        },
        "largest_difference_of_val_bps_overall": max(scores) - min(scores),
    }


if __name__ == "__main__":
    main()
