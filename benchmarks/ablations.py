"""Whether curriculum, group lasso, proximal clamps and balance change what they claim to change: small paired runs.

python -m benchmarks.ablations [--which curriculum,group_lasso,clamp,balance] [--steps 200] [--smoke]

Each pair differs in one setting; twins, sessions, seeds and steps are the same. For the curriculum, the contrast of the
frames that the sampler gives to training is compared with what its law says, computed from every clip there is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from benchmarks.measure import run_measured
from benchmarks.simulated import (
    events_of,
    parser_of,
    quick_config,
    sessions_of,
    sets,
    threads,
    with_sessions,
    workplace,
)
from vctrain.config.resolve import resolve
from vctrain.config.schema import Curriculum
from vctrain.config.simulation import SimulationConfig
from vctrain.data.curriculum import alpha, contrasts
from vctrain.data.sampler import ClipSampler
from vctrain.data.session import Session
from vctrain.training.prepare import prepare

EPOCHS = 5
SIZE = 24
"""Side of the simulated patches: smaller than the default, for speed."""


class Runs:
    """Short runs in one folder, on the same recipe."""

    def __init__(self, folder: Path, steps: int, seed: int) -> None:
        self.folder, self.steps, self.seed = folder, steps, seed
        self.quick = quick_config("gaborium", folder / "quick.yaml")

    def plain(self, data: Path) -> Path:
        """What the others are compared with: no curriculum, no penalty, no clamp."""
        return self.train("plain", data, {})

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a run of this length."""
        return {"trainer.max_epochs": EPOCHS, "trainer.steps_per_epoch": self.steps // EPOCHS, **settings}

    def train(self, name: str, data: Path, settings: Mapping[str, Any]) -> Path:
        """Train in the run directory ``name``, and return it."""
        if (self.folder / name).exists():
            return self.folder / name
        run_measured(
            ["train", "--preset", "gaborium", "--config", str(self.quick), "--data", str(data), "--types",
             "gaborium,backimage", "--seed", str(self.seed), "--run-dir", str(self.folder / name),
             *sets(self.settings(settings))]
        )  # fmt: skip
        return self.folder / name


def weights_of(run: Path, pattern: str) -> list[Tensor]:
    """The tensors of the last checkpoint whose names hold all pieces of ``pattern``, as in ``apply_to``."""
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    pieces = pattern.split("/")
    return [value for name, value in state.items() if all(piece in name for piece in pieces)]


def course(run: Path) -> list[list[float]]:
    """Step and val_bps_overall of each validation."""
    return [[event["step"], event["val_bps_overall"]] for event in events_of(run, "validated")]


def curriculum(runs: Runs, data: Path) -> dict[str, Any]:
    """With and without: realised and declared contrast of training frames over steps, and validation over steps."""
    warmup = runs.steps // 2
    wanted = {"start": 0.2, "warmup_steps": warmup}
    without = runs.plain(data)
    run = runs.train("curriculum", data, {"data.curriculum": wanted})
    given = sets(runs.settings({"data.curriculum": wanted}))[1::2]
    flags = {"data.path": str(data), "data.types": ["gaborium", "backimage"], "seed": runs.seed}
    sampler = prepare(resolve("gaborium", [runs.quick], given, flags).settings, 1).sampler
    plan = Curriculum(**wanted)
    law = ContrastLaw(sampler)
    around = max(1, warmup // 5)
    steps = sorted({0, warmup // 4, warmup // 2, 3 * warmup // 4, warmup})
    return {
        "warmup_steps": warmup,
        "contrast": [
            {
                "step": step,
                "alpha": 1.0 if (now := alpha(step, plan)) is None else now,
                **law.compared(range(step, step + around)),
            }
            for step in steps
        ],
        "seen_by_training": [[event["step"], event["curriculum_alpha"]] for event in events_of(run, "validated")],
        "val_bps_overall": {"with": course(run), "without": course(without)},
    }


class ContrastLaw:
    """Contrast, over the median, of the frames in the clips of a curriculum's sampler: realised and declared."""

    def __init__(self, sampler: ClipSampler) -> None:
        assert sampler.weights is not None
        assert sampler.shares is not None
        self.sampler, self.median, self.shares = sampler, sampler.weights.median, sampler.shares
        self.tables = [self._clips(session) for session in sampler.sessions]

    def _clips(self, session: Session) -> tuple[dict[int, int], np.ndarray[Any, Any]]:
        """Of every clip that may be drawn: its row by its start, and the contrast of its scored frames (NaN elsewhere),
        ``(n, clip_frames)``."""
        length, context = self.sampler.clip_frames, self.sampler.context
        scored = session.scored("train", context)
        starts = [s for a, b in session.segments("train").tolist() for s in range(a, max(b - length + 1, a + 1))]
        frames = np.asarray(starts)[:, None] + np.arange(length)
        contrast = np.full(int(frames.max()) + 1, np.nan)
        every = scored.at(np.arange(scored.total))
        every = every[every <= frames.max()]
        contrast[every] = contrasts(session, every) / self.median
        values = contrast[frames]
        kept = ~np.isnan(values).all(1)
        return {start: row for row, start in enumerate(np.asarray(starts)[kept].tolist())}, values[kept]

    def compared(self, steps: range) -> dict[str, float]:
        """Mean contrast of the frames of the clips of ``steps``, the one that the law declares for them, and of a
        sampler without a curriculum; the standard error of the first."""
        drawn: list[float] = []
        declared, plain = [], []
        for step in steps:
            clips = self.sampler.clips(step)
            now = alpha(step, self.sampler.curriculum) if self.sampler.curriculum else None
            for index, (rows, values) in enumerate(self.tables):
                means = np.nanmean(values, axis=1)
                starts = clips.start[clips.session == index].tolist()
                drawn += [float(means[rows[start]]) for start in starts]
                weight = np.ones(len(values)) if now is None else np.nanmean(np.minimum(1, now * values), axis=1)
                declared += [float((weight * means).sum() / weight.sum())] * len(starts)
                plain += [float(means.mean())] * len(starts)
        return {
            "clips": len(drawn),
            "realised": float(np.mean(drawn)),
            "declared": float(np.mean(declared)),
            "standard_error": float(np.std(drawn) / np.sqrt(len(drawn))),
            "without_curriculum": float(np.mean(plain)),
        }


def group_lasso(runs: Runs, data: Path, strengths: Sequence[float]) -> list[dict[str, Any]]:
    """Groups that are zero at the end, and validation, against the strength; groups are the channels of readouts."""
    found = []
    for strength in (0.0, *strengths):
        entry = {"name": "channels", "type": "proximal_group_lasso", "strength": strength, "groups": "channel",
                 "apply_to": ["readouts/features"]}  # fmt: skip
        run = runs.train(f"lasso-{strength:g}", data, {"regularization": [entry]}) if strength else runs.plain(data)
        lengths = torch.cat([features.norm(dim=0) for features in weights_of(run, "readouts/features")])
        found.append(
            {
                "strength": strength,
                "groups": len(lengths),
                "zero_groups": int((lengths == 0).sum()),
                "sum_of_lengths": float(lengths.sum()),
                "val_bps_overall": course(run)[-1][1],
            }
        )
    return found


def clamp(runs: Runs, data: Path) -> list[dict[str, Any]]:
    """Extremes of clamped parameters at the end, with the clamp and without."""
    bounds = {
        "proximal_clamp": ("readouts/mean", 1.0, (-1.0, 1.0)),
        "proximal_clamp_positive": ("readouts/std", 0.9, (0.0, 0.9)),
        "proximal_clamp_min": ("readouts/std", 1.0, (1.0, None)),
    }
    free = runs.plain(data)
    found = []
    for kind, (pattern, strength, (low, high)) in bounds.items():
        entry = {"name": "bound", "type": kind, "strength": strength, "apply_to": [pattern]}
        run = runs.train(kind, data, {"regularization": [entry]})
        sides = {}
        for side, where in (("with", run), ("without", free)):
            values = torch.cat([value.flatten() for value in weights_of(where, pattern)])
            outside = (values < low) | (values > (float("inf") if high is None else high))
            extremes = [float(values.min()), float(values.max())]
            sides[side] = {"range": extremes, "outside": int(outside.sum()), "of": len(values),
                           "val_bps_overall": course(where)[-1][1]}  # fmt: skip
        found.append({"type": kind, "apply_to": pattern, "bounds": [low, high], **sides})
    return found


def balance(runs: Runs, large: Path, small: Path) -> dict[str, Any]:
    """Realised shares and scores by subject, with three long sessions of one subject and a short one of another."""
    data = joined([(large, ["SimA_2024-01-01", "SimA_2024-01-03", "SimA_2024-01-05"]), (small, ["SimB_2024-01-02"])],
                  runs.folder / "unequal")  # fmt: skip
    found = {}
    for composition in ("by_size", "equal", "by_subject"):
        run = runs.train(composition, data, {"data.composition": composition, "data.batch_clips": 12})
        events = events_of(run, "validated")
        frames = np.array([event["train_frames"] for event in events], float)
        last = events[-1]
        scores: dict[str, list[float]] = {}
        for key, value in last.items():
            if key.startswith("val_bps/"):
                scores.setdefault(key.removeprefix("val_bps/").partition("_")[0], []).append(value)
        shares = {
            subject: float((np.array([event["subject_shares"][subject] for event in events]) * frames).sum())
            / float(frames.sum())
            for subject in scores
        }
        found[composition] = {
            "realised_shares": shares,
            "val_bps": {subject: float(np.mean(values)) for subject, values in scores.items()},
        }
    return found


def joined(parts: Sequence[tuple[Path, Sequence[str]]], target: Path) -> Path:
    """A parent YAML of sessions that lie in several simulated folders, which are linked into ``target``."""
    (target / "sessions").mkdir(parents=True)
    for simulated, names in parts:
        for name in names:
            (target / name).symlink_to(simulated / name)
            (target / "sessions" / f"{name}.yaml").symlink_to(simulated / "sessions" / f"{name}.yaml")
    listed = with_sessions(parts[0][0], [name for _, names in parts for name in names], target / "dataset.yaml")
    parent = yaml.safe_load(listed.read_text()) | {"session_dir": "sessions", "data_root": "."}
    listed.write_text(yaml.safe_dump(parent))
    return listed


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = parser_of(__doc__)
    parser.add_argument("--which", default="curriculum,group_lasso,clamp,balance", help="comma-separated")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--strengths", default="1e-3,3e-3,1e-2", help="of group lasso, comma-separated")
    return parser.parse_args()


def main() -> None:
    """Print one JSON object with an entry an ablation."""
    options = options_of()
    which, steps, units, minutes = options.which.split(","), options.steps, 16, 4.0
    strengths = [float(text) for text in options.strengths.split(",")]
    if options.smoke:
        steps, units, minutes, strengths = EPOCHS, 4, 2.0, strengths[:1]

    def simulated(sessions: int, minutes: float) -> Path:
        return sessions_of(
            SimulationConfig(sessions=sessions, units=units, minutes=minutes, size=SIZE, seed=options.seed)
        )

    data = simulated(2, minutes) / "dataset.yaml"
    results: dict[str, Any] = {}
    with workplace(options) as folder:
        runs = Runs(folder, steps, options.seed)
        if "curriculum" in which:
            results["curriculum"] = curriculum(runs, data)
        if "group_lasso" in which:
            results["group_lasso"] = group_lasso(runs, data, strengths)
        if "clamp" in which:
            results["clamp"] = clamp(runs, data)
        if "balance" in which:
            results["balance"] = balance(runs, simulated(5, minutes), simulated(5, minutes / 4))
    print(json.dumps({"benchmark": "ablations", "threads": threads(), "steps": steps, **results}))


if __name__ == "__main__":
    main()
