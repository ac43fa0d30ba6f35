"""Whether group lasso finds the features that units read: planted sparse readouts of a known core.

python -m benchmarks.planted_features [--strengths 2e-3,4e-3,6e-3] [--steps 300] [--smoke]

A twin is trained briefly on a simulated session; its core is then what is known. Units of a new session read a few of
its feature maps (the same ones, with weights of their own, under Gaussian masks) and fire Poisson spikes through a
softplus. `finetune --freeze core` learns their readouts, masks included, without a penalty, under l1, under proximal_l1
and under proximal_group_lasso with groups: channel. A feature counts as found if any unit has a weight for it that is
not zero; `above_1_percent` asks for weights of at least 1 % of the longest group's length; `ranked` takes as many
features as were planted, those of the longest groups. Strengths are those of groups; elements get them over the root of
the number of units, which is the same for a group of equal elements.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import run_measured
from benchmarks.simulated import events_of, parser_of, quick_config, sessions_of, sets, threads, workplace
from vctrain import save_session
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.simulation import SimulationConfig
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.models.output import rate_of
from vctrain.models.readout import GaussianMaskReadout, masks_of
from vctrain.models.twin import Twin
from vctrain.runs.checkpoints import read_checkpoint

EPOCHS = 5
FRAMES = 256
RATE = 0.25
"""Mean spikes a frame of every unit."""
SIZE = 24
"""Side of the simulated patches: smaller than the default, for speed."""
REACH = 2.0
"""Centres of the masks lie at most this many feature-map pixels around the middle."""
REGULARIZED = ("none", "l1", "proximal_l1", "proximal_group_lasso")


def pooled_features(twin: Twin, session: Session) -> tuple[Tensor, Tensor]:
    """What each unit could read under its mask, ``(F, U, C)``, and the global frames ``(F,)``, of all trials."""
    readout = twin.readouts[0]
    assert isinstance(readout, GaussianMaskReadout)
    found: list[Tensor] = []
    read: list[Tensor] = []

    def see(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        maps = inputs[0]
        read.append(torch.einsum("nclyx,uyx->nluc", maps, masks_of([readout])[0][0].view(-1, *maps.shape[3:])))

    handle = readout.register_forward_pre_hook(see)
    frames: list[Tensor] = []
    with torch.no_grad():
        for start, stop in session.segments().tolist():
            for first in range(start, stop, FRAMES):
                read.clear()
                twin([session.gather([first], context=twin.context, frames=FRAMES)])
                here = min(FRAMES, stop - first)
                # without a gradient a twin goes through a clip in pieces
                found.append(torch.cat(read, dim=1)[0, :here])
                frames.append(torch.arange(first, first + here))
    handle.remove()
    return torch.cat(found), torch.cat(frames)


def plant(twin: Twin, session: Session, alive: int, rng: np.random.Generator) -> tuple[list[int], Tensor]:
    """The planted features, and the expected counts ``(F, U)`` of units that read them."""
    readout = twin.readouts[0]
    assert isinstance(readout, GaussianMaskReadout)
    with torch.no_grad():
        readout.mean.copy_(torch.from_numpy(rng.uniform(-REACH, REACH, readout.mean.shape)))
        readout.std.fill_(1.0)
        readout.theta.zero_()
    pooled, frames = pooled_features(twin, session)
    spread = pooled.std(0)
    # Features that hardly vary cannot be told from the bias.
    varied = torch.nonzero(spread.mean(0) > 0.5 * spread.mean(0).median()).flatten().numpy()
    chosen = sorted(rng.choice(varied, alive, replace=False).tolist())
    sign = torch.from_numpy(rng.choice([-1.0, 1.0], (pooled.shape[1], alive)))
    size = torch.from_numpy(rng.uniform(0.5, 1.5, (pooled.shape[1], alive)))
    weights = (sign * size / spread[:, chosen]).float()
    drive = (pooled[:, :, chosen] * weights).sum(2)
    drive = (drive - drive.mean(0)) / drive.std(0)
    low, high = torch.full((drive.shape[1],), -20.0), torch.full((drive.shape[1],), 20.0)
    for _ in range(50):
        middle = (low + high) / 2
        above = rate_of(twin.config.output, drive + middle).mean(0) > RATE
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    rates = torch.empty_like(drive)
    rates[frames] = rate_of(twin.config.output, drive + low)
    return chosen, rates


def write_planted(base: Path, data: Path, root: Path, alive: int, seed: int) -> list[int]:
    """A session in ``root`` that shows the movie of ``data`` to planted units; the features they read."""
    twin = read_checkpoint(base).build()
    assert isinstance(twin, Twin)
    (session,) = open_sessions(load_dataset_configs(str(data), types=["gaborium"]), twin.context)
    rng = np.random.default_rng(seed)
    chosen, rates = plant(twin, session, alive, rng)
    covariates = torch.load(next(data.parent.glob("*/gaborium.dset")), weights_only=True, mmap=True)["covariates"]
    save_session(
        root / "Planted_2024-03-01",
        covariates["stim"].numpy(),
        type="gaborium",
        counts=rng.poisson(rates.double().numpy()),
        rate_hz=session.rate_hz,
        trials=covariates["trial_inds"].numpy(),
        rate_true=rates.numpy(),
    )
    return chosen


def _compared(kept: Tensor, planted: list[int]) -> dict[str, Any]:
    found = set(torch.nonzero(kept).flatten().tolist())
    right = len(found & set(planted))
    return {
        "found": len(found),
        "precision": right / len(found) if found else None,
        "recall": right / len(planted),
    }


def judged(run: Path, planted: list[int]) -> dict[str, Any]:
    """How the features that the last checkpoint reads compare with the planted ones."""
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    size = weights["twin.readouts.0.features"].norm(dim=0)
    ranked = set(size.argsort(descending=True)[: len(planted)].tolist())
    return {
        **_compared(size > 0, planted),
        "above_1_percent": _compared(size > 0.01 * size.max(), planted),
        "ranked": len(ranked & set(planted)) / len(planted),
        "val_bps_overall": events_of(run, "validated")[-1]["val_bps_overall"],
    }


def main() -> None:
    """Print one JSON object: the runs, by penalty and strength."""
    parser = parser_of(__doc__)
    parser.add_argument("--strengths", default="2e-3,4e-3,6e-3", help="comma-separated")
    parser.add_argument("--kinds", default=",".join(REGULARIZED), help="of none, l1, proximal_l1, proximal_group_lasso")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=16, help="clips a step")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--alive", type=int, default=6, help="planted features")
    options = parser.parse_args()
    simulation = SimulationConfig(sessions=1, minutes=6.0, size=SIZE, types=("gaborium",), seed=options.seed)
    strengths = [float(text) for text in options.strengths.split(",")]
    base_steps, steps = 100, options.steps
    if options.smoke:
        simulation = SimulationConfig(
            sessions=1, units=6, minutes=1.0, size=SIZE, types=("gaborium",), seed=options.seed
        )
        strengths, base_steps, steps = strengths[:1], EPOCHS, EPOCHS
    data = sessions_of(simulation) / "dataset.yaml"
    with workplace(options) as folder:
        quick = ["--preset", "gaborium", "--config", str(quick_config("gaborium", folder / "quick.yaml"))]
        # Stem alone, no alignment, no behaviour: every run then takes seconds.
        plain: dict[str, object]
        plain = {"model.adapter": {"type": "none"}, "model.modulator": {"type": "none"}, "model.convnet.blocks": []}
        plain |= {"trainer.max_epochs": EPOCHS}
        base = folder / "base"
        length: dict[str, object] = {"trainer.steps_per_epoch": base_steps // EPOCHS}
        run_measured(["train", *quick, "--data", str(data), "--run-dir", str(base), *sets(plain | length)])
        planted = write_planted(base, data, folder / "planted", options.alive, options.seed)
        runs = []
        for kind in options.kinds.split(","):
            for strength in strengths if kind != "none" else [0.0]:
                run = folder / f"{kind}-{strength:g}"
                entry: dict[str, Any] = {"name": "sparse", "type": kind, "apply_to": ["readouts/features"]}
                if "group" in kind:
                    entry |= {"groups": "channel", "strength": strength}
                else:
                    entry["strength"] = strength / simulation.units**0.5
                settings = {"trainer.steps_per_epoch": steps // EPOCHS, "data.batch_clips": options.clips,
                            "optim.lr": options.lr, "regularization": [] if kind == "none" else [entry]}  # fmt: skip
                measured = run_measured(
                    ["finetune", str(base), "--freeze", "core", "--data", str(folder / "planted"),
                     "--run-dir", str(run), *sets(settings)]
                )  # fmt: skip
                seconds = measured.output["seconds"]
                runs.append({"type": kind, "strength": strength, "seconds": seconds} | judged(run, planted))
                oracle = measured.output["oracle_bps_overall"]
    print(
        json.dumps(
            {
                "benchmark": "planted_features",
                "threads": threads(),
                "planted": planted,
                "oracle_bps": oracle,
                "steps": steps,
                "runs": runs,
            }
        )
    )


if __name__ == "__main__":
    main()
