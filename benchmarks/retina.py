"""The checkerboard preset on recorded retina, against the linear-nonlinear model stored with the recordings.

python -m benchmarks.retina SESSIONS.yaml     (the parent YAML of the recordings)
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import run_measured
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import open_for_checkpoint
from vctrain.metrics.bps import PoissonSums
from vctrain.runs.checkpoints import read_checkpoint

FRAMES = 240
"""Scored frames of an evaluation clip."""


def _stored_linear(folder: Path, sessions: list[str]) -> list[float]:
    values: list[float] = []
    for session in sessions:
        content = torch.load(folder / session / "checkerboard.dset", weights_only=True, mmap=True)
        values += content["metadata"]["ln_bits_per_spike"]
    return values


def _by_trial(run: Path) -> list[dict[str, PoissonSums]]:
    """Per validation trial, in time order: the sums of every session's units over that trial."""
    checkpoint = read_checkpoint(run)
    data = checkpoint.settings.data
    specs = load_dataset_configs(str(data.path), data_root=data.root, types=data.types)
    twin = checkpoint.build()
    opened = open_for_checkpoint(specs, checkpoint.sessions, twin.context, all_required=True).sessions
    trials: list[dict[str, PoissonSums]] = []
    for session in opened:
        for number, (start, stop) in enumerate(session.segments("val").tolist()):
            starts = list(range(start + twin.context, stop, FRAMES))
            clips = session.gather(starts, frames=FRAMES)
            with torch.no_grad():
                sums = PoissonSums.of(twin([clips])[0], clips.robs, clips.dfs)
            if number == len(trials):
                trials.append({})
            trials[number][session.name] = sums
    return trials


def _median(trials: list[dict[str, PoissonSums]]) -> float:
    merged = {name: sum((t[name] for t in trials[1:]), start=trials[0][name]) for name in trials[0]}
    return float(torch.cat([sums.bits_per_spike() for sums in merged.values()]).nanmedian())


def main() -> None:
    """Print one JSON object: medians over units of the twin and of the stored models, seconds, memory, BPS over
    time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        trained = run_measured(
            ["train", "--preset", "checkerboard", "--data", str(options.data), "--run-dir", str(run)]
        )
        evaluated = run_measured(["eval-bps", str(run)])
        trials = _by_trial(run)
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    sessions = evaluated.output["sessions"]
    units = [bps for session in sessions.values() for bps in session["units"].values() if bps is not None]
    linear = statistics.median(_stored_linear(options.data.parent, list(sessions)))
    course = [[event["seconds"], event["val_bps_overall"]] for event in events if event["event"] == "validated"]
    print(
        json.dumps(
            {
                "benchmark": "retina",
                "median_bps": statistics.median(units),
                "units": len(units),
                "median_linear_nonlinear": linear,
                "median_bps_without_first_validation_trial": _median(trials[1:]),
                "mean_bps_of_each_validation_trial": [
                    float(torch.cat([sums.bits_per_spike() for sums in trial.values()]).nanmean()) for trial in trials
                ],
                "spikes_of_each_validation_trial": [
                    float(sum(sums.spikes.sum() for sums in trial.values())) for trial in trials
                ],
                "ratio": statistics.median(units) / linear,
                "seconds_in_all": trained.seconds,
                "seconds_training": trained.output["seconds"],
                "peak_anon_mb": trained.peak_anon_mb,
                "seconds_and_bps": course,
            }
        )
    )


if __name__ == "__main__":
    main()
