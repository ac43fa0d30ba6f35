"""A fifth session joins a twin of four with its vision frozen: how near it comes to joint training, in which time.

python -m benchmarks.fifth_session [--steps 500] [--smoke]

Joint: the gaborium preset with its quick overlay on five simulated sessions, two clips of each in every step. Base: the
same on the first four. Then `finetune BASE --freeze-vision` on the fifth alone, with as many steps and two clips a
step: Adam moves a new readout by about the learning rate a step, however many clips it holds. Scratch: the same without
the base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured
from benchmarks.simulated import (
    parser_of,
    quick_config,
    run_timed,
    sessions_of,
    sets,
    threads,
    with_sessions,
    workplace,
)
from vctrain.config.simulation import SimulationConfig

SESSIONS = 5
EPOCHS = 5


def _figures(timed: tuple[Measured, float], session: str) -> dict[str, Any]:
    measured, cpu_seconds = timed
    return {
        "val_bps": measured.output["val_bps"].get(session),
        "val_bps_overall": measured.output["val_bps_overall"],
        "steps": measured.output["steps"],
        "seconds": measured.output["seconds"],
        "seconds_in_all": measured.seconds,
        "cpu_seconds_in_all": cpu_seconds,
    }


def main() -> None:
    """Print one JSON object."""
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=500, help="steps of joint training and of the base")
    parser.add_argument("--finetune-steps", type=int, default=500)
    parser.add_argument("--finetune-clips", type=int, default=2, help="clips a step")
    parser.add_argument("--base", type=Path, help="run of this base that an earlier call kept, instead of a new one")
    options = parser.parse_args()
    simulation = SimulationConfig(sessions=SESSIONS, seed=options.seed)
    steps, finetune_steps = options.steps, options.finetune_steps
    if options.smoke:
        simulation = SimulationConfig(sessions=SESSIONS, units=6, minutes=1.0, seed=options.seed)
        steps, finetune_steps = EPOCHS, EPOCHS
    simulated = sessions_of(simulation)
    names = [entry["session"] for entry in json.loads((simulated / "simulation.json").read_text())["sessions"]]
    fifth = names[-1]
    with workplace(options) as folder:
        base = with_sessions(simulated, names[:-1], folder / "base.yaml")
        alone = with_sessions(simulated, [fifth], folder / "fifth.yaml")
        quick = quick_config("gaborium", folder / "quick.yaml")

        def length(clips: int, steps: int) -> list[str]:
            per_epoch = steps // EPOCHS
            return sets({"data.batch_clips": clips, "trainer.max_epochs": EPOCHS, "trainer.steps_per_epoch": per_epoch})

        def recipe(data: Path) -> list[str]:
            return ["--preset", "gaborium", "--config", str(quick), "--data", str(data), "--seed", str(options.seed)]

        def run(verb: list[str], name: str, arguments: list[str]) -> tuple[Measured, float]:
            return run_timed([*verb, *arguments, "--run-dir", str(folder / name)])

        found = {}
        if options.base is None:
            arguments = [*recipe(base), *length(2 * (SESSIONS - 1), steps)]
            found["base"] = _figures(run(["train"], "base", arguments), fifth)
        joint = run(["train"], "joint", [*recipe(simulated / "dataset.yaml"), *length(2 * SESSIONS, steps)])
        joined = length(options.finetune_clips, finetune_steps)
        start = ["finetune", str(options.base or folder / "base"), "--freeze-vision", "--data", str(alone)]
        tuned = run(start, "finetuned", joined)
        scratch = run(["train"], "scratch", [*recipe(alone), *joined])
    for name, timed in (("joint", joint), ("finetuned", tuned), ("scratch", scratch)):
        found[name] = _figures(timed, fifth)
    print(
        json.dumps(
            {
                "benchmark": "fifth_session",
                "session": fifth,
                "threads": threads(),
                **found,
                **{key: tuned[0].output[key] for key in ("tensors", "vision")},
                "oracle_bps": tuned[0].output["oracle_bps_overall"],
                "fraction_of_joint": found["finetuned"]["val_bps"] / found["joint"]["val_bps"],
                "fraction_of_joint_from_scratch": found["scratch"]["val_bps"] / found["joint"]["val_bps"],
                **{
                    f"fraction_of_{key}": found["finetuned"][key] / found["joint"][key]
                    for key in ("seconds", "seconds_in_all", "cpu_seconds_in_all")
                },
            }
        )
    )


if __name__ == "__main__":
    main()
