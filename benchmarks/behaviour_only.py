"""Units that follow behaviour alone: how near a twin that reads no movie comes to their true rates.

python -m benchmarks.behaviour_only [--tracker noisy|exact] [--preset backimage] [--steps 1000] [--smoke]

The true rate is the unit's mean rate times the simulation's gain by eye velocity a fixed lag ago, of a freely viewing
subject; the movie is noise that no unit sees. Behaviour is the standard 42 columns of `eyepos`, which the tracker sees
with the simulation's noise and gaps, or exactly. `law_on_tracked_gaze` is what the true law makes of `eyepos`, over all
frames.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.simulated import events_of, parser_of, quick_config, run_timed, sets, threads, workplace
from vctrain import save_session
from vctrain.data.simulation.calibration import Geometry
from vctrain.data.simulation.gaze import FREE_VIEWING, track, trial_gaze
from vctrain.data.simulation.recording import trial_lengths
from vctrain.data.simulation.sessions import session_names
from vctrain.data.simulation.streams import stream
from vctrain.data.simulation.units import Population, draw_units
from vctrain.metrics.bps import PoissonSums, mean_over_units

RATE = 120.0
SIZE = 16
EPOCHS = 5


def write_session(folder: Path, index: int, units: int, minutes: float, seed: int, noisy: bool) -> float:
    """One session of type backimage; returns the bits per spike of the true law applied to the tracked gaze."""
    drawn = draw_units(stream(seed, index, "units"), units, Geometry(SIZE))
    population = Population(drawn, Geometry(SIZE), RATE)
    lengths = trial_lengths(stream(seed, index, "trials"), round(minutes * 60 * RATE), RATE)
    gazes, tracked, gains, guesses = [], [], [], []
    for number, length in enumerate(lengths):
        rng = stream(seed, index, "gaze", number)
        gaze = trial_gaze(rng, length, RATE, FREE_VIEWING)
        seen, valid = track(rng, gaze, RATE) if noisy else (gaze.position, np.ones(length, bool))
        gazes.append(seen)
        tracked.append(valid)
        gains.append(population.gain(gaze.position).numpy().astype(np.float64))
        guesses.append(population.gain(seen).numpy().astype(np.float64))
    gain, guess = np.concatenate(gains), np.concatenate(guesses)
    rate_true = drawn.rate / RATE * gain / gain.mean(0)
    rng = stream(seed, index, "spikes")
    counts, valid = rng.poisson(rate_true), np.concatenate(tracked)
    save_session(
        folder,
        rng.integers(0, 256, (len(gain), SIZE, SIZE), dtype=np.uint8),
        type="backimage",
        counts=counts,
        rate_hz=RATE,
        eyepos=np.concatenate(gazes),
        valid=valid,
        trials=np.repeat(np.arange(len(lengths)), lengths),
        rate_true=rate_true.astype(np.float32),
    )
    guess *= counts[valid].mean(0) / guess[valid].mean(0)
    sums = PoissonSums.of(*(torch.from_numpy(a) for a in (guess, counts, valid[:, None])))
    return float(mean_over_units(sums.bits_per_spike()) or 0.0)


def main() -> None:
    """Print one JSON object."""
    parser = parser_of(__doc__)
    parser.add_argument("--tracker", choices=("noisy", "exact"), default="noisy")
    parser.add_argument("--preset", default="backimage")
    parser.add_argument("--model", default="modulator_only_convgru")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="of modulator-only")
    options = parser.parse_args()
    count, units, minutes, steps = 4, 24, 8.0, options.steps
    if options.smoke:
        count, units, minutes, steps = 2, 4, 0.5, EPOCHS
    with workplace(options) as folder:
        law = [
            write_session(folder / "sessions" / name, index, units, minutes, options.seed, options.tracker == "noisy")
            for index, name in enumerate(session_names(count))
        ]
        settings = {"model": options.model, "trainer.max_epochs": EPOCHS, "trainer.steps_per_epoch": steps // EPOCHS}
        arguments = ["modulator-only", "--preset", options.preset, "--config"]
        arguments += [str(quick_config(options.preset, folder / "quick.yaml")), "--data", str(folder / "sessions")]
        arguments += ["--seed", str(options.seed), "--run-dir", str(folder / "run"), *sets(settings)]
        arguments += [part for text in options.set for part in ("--set", text)]
        measured, cpu_seconds = run_timed(arguments)
        course = [[e["step"], e["fraction_of_oracle"]] for e in events_of(folder / "run", "validated")]
    keys = ("val_bps_overall", "oracle_bps_overall", "fraction_of_oracle", "steps", "seconds")
    print(
        json.dumps(
            {
                "benchmark": "behaviour_only",
                "tracker": options.tracker,
                "preset": options.preset,
                "model": options.model,
                "threads": threads(),
                **{key: measured.output[key] for key in keys},
                "cpu_seconds_in_all": cpu_seconds,
                "law_on_tracked_gaze": sum(law) / count,
                "step_and_fraction_of_oracle": course,
            }
        )
    )


if __name__ == "__main__":
    main()
