"""What does a twin learn in a given time, from streaming clips of several lengths and from single windows?

python -m benchmarks.learning [--seconds 300] [--shapes 8x64 4x128 16x32 32x16] [--windows 64 256] [--lr 0.01]

Sessions are those of the first README command, the model that of its recipe, validation is the whole validation split.
CxL stands for C clips of L scored frames a step; windows are of the reference (`benchmarks.windowed`), so many random
ones a step, at each of ``--window-lr``: the best of them counts. All start from the same weights and take as many
steps as fit into ``--seconds`` of processor time of one thread (validations do not count), with a constant learning
rate after ``--warm-up`` steps. ``seconds_to_reference`` is when a streaming run first reaches what the best reference
ends at, by linear interpolation between validations.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.published import model_config
from benchmarks.simulated import sessions_of
from benchmarks.windowed import Windowed
from vctrain.config.resolve import resolve
from vctrain.config.schema import Settings
from vctrain.config.simulation import SimulationConfig
from vctrain.data.clips import ClipBatch
from vctrain.data.loader import TrainLoader
from vctrain.metrics.bps import PoissonSums
from vctrain.models.build import AnyTwin
from vctrain.models.twin import Twin
from vctrain.training.initialise import initialise
from vctrain.training.loaders import reads_of, validation_loader
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.prepare import Prepared, prepare
from vctrain.training.validation import ValidationResult

LOOKS = 10
"""Validations, closer together at first."""


def settings_of(options: argparse.Namespace, clips: int, frames: int, lr: float) -> Settings:
    """The recipe with so many clips of so many scored frames."""
    sets = {
        "data.path": str(sessions_of(SimulationConfig(minutes=options.minutes)) / "dataset.yaml"),
        "data.batch_clips": clips,
        "data.clip_frames": frames,
        "data.composition": "equal",
        "trainer.precision": "32-true",
        "trainer.accelerator": "cpu",
        "optim.core_lr_scale": 1.0,
        "optim.lr": lr,
        "regularization": [],
    }
    if options.published is None:
        return resolve("gaborium", [], [f"model={options.model}"], sets).settings
    width, grid = options.published
    model = model_config(width, grid=round(grid)).model_dump(mode="json")
    return resolve("gaborium", [], [], {**sets, "model": model}).settings


def validated(twin: AnyTwin, prepared: Prepared) -> dict[str, float]:
    """val_bps_overall and its fraction of the oracle."""
    sums: dict[int, PoissonSums] = {}
    oracle: dict[int, PoissonSums] = {}
    twin.eval()
    with torch.no_grad():
        for batch in validation_loader(prepared.sessions, "val", twin, 0, 1):
            for part, rate in zip(batch.parts, twin(batch.parts), strict=True):
                assert part.rate_true is not None
                for kept, rates in ((sums, rate), (oracle, part.rate_true)):
                    of_part = PoissonSums.of(rates, part.robs, part.dfs)
                    kept[part.session] = kept[part.session] + of_part if part.session in kept else of_part
    twin.train()
    result = ValidationResult(twin.names, [sums[i] for i in sorted(sums)], [oracle[i] for i in sorted(oracle)])
    assert result.bps_overall is not None
    assert result.fraction_of_oracle is not None
    return {"val_bps": round(result.bps_overall, 4), "fraction": round(result.fraction_of_oracle, 4)}


def learn(
    prepared: Prepared, twin: AnyTwin, settings: Settings, options: argparse.Namespace, windowed: bool
) -> dict[str, Any]:
    """The validations of one run, each with its processor seconds and number of steps."""
    model = Windowed(twin) if windowed else twin
    reads = reads_of(twin)
    loader = TrainLoader(prepared.sampler, prepared.sessions, steps_per_epoch=1, start_step=lambda: 0, reads=reads)
    optim = build_optimizer(parameter_groups(twin, settings.optim), settings.optim)
    rates = [group["lr"] for group in optim.param_groups]
    parameters = [p for p in twin.parameters() if p.requires_grad]

    def step(number: int, batch: ClipBatch) -> None:
        for group, rate in zip(optim.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, (number + 1) / options.warm_up)
        loss = step_loss(session_losses(model(batch.parts), batch), batch, 1)
        optim.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.optim.grad_clip)
        optim.step()

    looks = [options.seconds * (look / LOOKS) ** 2 for look in range(1, LOOKS + 1)]
    found, taken, number = [], 0.0, 0
    for look in looks:
        while taken < look:
            begun = time.process_time()
            step(number, loader.batch(number))
            taken += time.process_time() - begun
            number += 1
        found.append({"seconds": round(taken, 1), "steps": number, **validated(twin, prepared)})
    return {"validations": found, "final": found[-1]}


def reached(validations: Sequence[dict[str, float]], level: float) -> float | None:
    """The processor seconds at which val_bps first is ``level``.

    >>> reached([{"seconds": 1.0, "val_bps": 0.2}, {"seconds": 3.0, "val_bps": 0.6}], 0.4)
    2.0
    """
    before = {"seconds": 0.0, "val_bps": 0.0}
    for now in validations:
        if now["val_bps"] >= level:
            share = (level - before["val_bps"]) / max(now["val_bps"] - before["val_bps"], 1e-12)
            return round(before["seconds"] + share * (now["seconds"] - before["seconds"]), 2)
        before = now
    return None


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--minutes", type=float, default=8.0, help="length of the sessions")
    parser.add_argument("--model", default="twin_small")
    parser.add_argument(
        "--published",
        type=float,
        nargs=2,
        metavar=("WIDTH", "GRID"),
        help="instead: the published network, of so many times the channels, on a grid of so many pixels",
    )
    parser.add_argument("--shapes", nargs="*", default=["8x64", "4x128", "16x32", "32x16"])
    parser.add_argument("--windows", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--warm-up", type=int, default=20, help="steps until the learning rate is what it stays")
    parser.add_argument("--window-lr", type=float, nargs="*", default=[1e-2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [(shape, *map(int, shape.split("x")), options.lr) for shape in options.shapes]
    runs += [(f"{n} windows at {lr:g}", n, 1, lr) for n in options.windows for lr in options.window_lr]
    found: dict[str, Any] = {}
    first: Twin | None = None
    for name, clips, frames, lr in runs:
        settings = settings_of(options, clips, frames, lr)
        prepared = prepare(settings, 1)
        assert isinstance(prepared.twin, Twin)
        if first is None:
            initialise(prepared.twin, prepared.sessions, settings.init)
            first = copy.deepcopy(prepared.twin)
        found[name] = learn(prepared, copy.deepcopy(first), settings, options, windowed=frames == 1)
    windowed = [run["final"]["val_bps"] for name, run in found.items() if "windows" in name]
    reference = max(windowed, default=None)
    for run in found.values():
        run["seconds_to_reference"] = None if reference is None else reached(run["validations"], reference)
    told = {
        "seconds": options.seconds,
        "minutes": options.minutes,
        "model": options.published or options.model,
        "lr": options.lr,
        "warm_up": options.warm_up,
    }
    print(json.dumps({"benchmark": "learning", **told, "reference": reference, "runs": found}))


if __name__ == "__main__":
    main()
