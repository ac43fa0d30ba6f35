# %% [markdown]
# # Tutorial: from simulated sessions to most exciting images
#
# Simulate two sessions, train a twin, see how good it is, and ask it what its units respond to. The rates,
# orientations and kinds of simulated units are known, so every answer is checked. It takes about three minutes of
# processor time, most of it training.
#
# Everything is written to the current folder: start in a new one. Work goes through commands, which `shell` calls
# as a terminal would (`vctrain train ...`); Python is for looking at what they wrote.

# %%
import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import vctrain


def shell(command: str, lines: int | None = None) -> None:
    """Run `vctrain COMMAND` and show the last lines of what it prints."""
    words = [sys.executable, "-m", "vctrain", *shlex.split(command), "--quiet"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"vctrain {command}\n{done.stderr}")
    print("\n".join(done.stdout.rstrip().splitlines()[-lines if lines else None :]))


# %% [markdown]
# ## Sessions
#
# Two sessions of twelve units and five minutes of random Gabors. `vctrain simulate recordings ...` does the same.

# %%
settings = vctrain.SimulationConfig(sessions=2, units=12, minutes=5, types=("gaborium",), seed=7)
report = vctrain.simulate(Path("recordings"), settings)
print(f"oracle {report.oracle:.3f} bits per spike")
for path in sorted(report.out.rglob("*")):
    if path.is_file():
        print(path)

# %% [markdown]
# `simulation.json` holds the truth, `dataset.yaml` is what training reads. Look before you train: `inspect` says
# what is in a recording and what is odd about it.

# %%
shell("inspect recordings/SimA_2024-01-01", lines=12)

# %% [markdown]
# ## Training
#
# The `gaborium` preset is sized for a GPU. On two cores a small model, small batches and a few epochs do; `--set`
# changes one setting, a config file several. This is the step that takes time.

# %%
Path("small.yaml").write_text(
    """
model: twin_small
data: {batch_clips: 8, composition: equal}
optim: {lr: 1.0e-2, core_lr_scale: 1.0, warmup_steps: 50}
trainer: {max_epochs: 4, steps_per_epoch: 75, precision: 32-true}
regularization: []
"""
)
shell("train --preset gaborium --config small.yaml --data recordings/dataset.yaml --run-dir runs/tutorial")

# %% [markdown]
# ## Scores
#
# Bits per spike of every unit on the validation trials, beside what the true rates reach on the same frames (the
# *oracle*). The command is `vctrain eval-bps runs/tutorial`; from Python it is a dictionary.

# %%
scores = vctrain.evaluate("runs/tutorial", split="val")
low, high = scores["bps_overall_interval"]
print(f"{scores['bps_overall']:.3f} bits per spike, 95 % interval {low:.3f} to {high:.3f}")
print(f"{100 * scores['fraction_of_oracle']:.0f} % of the oracle's {scores['oracle_bps_overall']:.3f}")
for name, session in scores["sessions"].items():
    print(name, f"{session['bps']:.3f}", f"{session['n_units']} units, {session['n_frames']:,} frames")

# %% [markdown]
# A page with all pictures of the evaluation, to be opened in a browser:

# %%
shell("eval-bps runs/tutorial --report report", lines=1)
print(sorted(path.name for path in Path("report").iterdir()))

# %% [markdown]
# ## Rates
#
# `predict` writes the rate of every scored frame, beside the spikes and, here, the true rates.

# %%
shell("predict runs/tutorial --out rates.npz", lines=1)
rates = np.load("rates.npz")
predicted, true = rates["SimA_2024-01-01/rhat"], rates["SimA_2024-01-01/rate_true"]
correlation = [np.corrcoef(predicted[:, unit], true[:, unit])[0, 1] for unit in range(predicted.shape[1])]
print(f"{predicted.shape[0]:,} frames; correlation with the true rates {np.median(correlation):.2f} (median of units)")

best = int(np.argmax(correlation))
seconds = np.arange(360) / 120
figure, axis = plt.subplots(figsize=(8, 2.5), layout="constrained")
axis.plot(seconds, 120 * true[:360, best], color="0.6", label="true rate")
axis.plot(seconds, 120 * predicted[:360, best], label="predicted")
axis.set(xlabel="scored time (s)", ylabel="spikes/s", title=f"SimA_2024-01-01, unit {best}")
axis.legend(frameon=False)
figure.savefig("rates.png", dpi=120)

# %% [markdown]
# A twin is an object too. It can be shown what nobody has recorded: here mean grey, then a grating for 50 ms, with
# eyes at rest in the middle.

# %%
twin = vctrain.load("runs/tutorial")
print(twin)
movie = np.full((60, 32, 32), 127, np.uint8)
movie[30:36] = 127 + 60 * np.sin(2 * np.pi * np.arange(32) / 7)
behaviour = np.zeros((60, twin.checkpoint.sessions[0]["behavior_dim"]), np.float32)
answer = 120 * twin.predict(movie, behaviour, "SimA_2024-01-01")
before, after = np.nanmean(answer[:30]), answer[30:].mean(1).max()
print(f"mean rate of the units {before:.0f} spikes/s before the grating, at most {after:.0f} after it")

# %% [markdown]
# ## In silico
#
# Gratings of 16 directions and 8 spatial frequencies, shown to the twin. The simulated units were built with an
# orientation, and as simple or complex cells; the twin was told neither.

# %%
shell("analyze tuning runs/tutorial --in-silico --out analyses", lines=1)
with open("analyses/tuning.csv") as file:
    tuning = {(row["session"], int(row["cid"])): row for row in csv.DictReader(file)}
truth = {
    (entry["session"], cid): (np.degrees(entry["units"]["orientation"][cid]) % 180, entry["units"]["complex"][cid])
    for entry in json.loads(Path("recordings/simulation.json").read_text())["sessions"]
    for cid in range(settings.units)
}
found = np.array([float(tuning[unit]["orientation"]) for unit in truth])
built = np.array([orientation for orientation, _ in truth.values()])
errors = np.abs((found - built + 90) % 180 - 90)
as_simple = np.array([float(tuning[unit]["f1_f0"]) > 1 for unit in truth])
simple = np.array([not complex_cell for _, complex_cell in truth.values()])
print(f"orientation: median error {np.median(errors):.1f} degrees")
print(f"simple or complex: {np.sum(as_simple == simple)} of {len(truth)} units as built")

# %% [markdown]
# F1/F0 above 1 counts as simple ([analyses](../analyses.md#tuning-in-silico)). Spatial frequencies would not agree:
# the stored movies are scaled against what the units saw, by a factor that is in `simulation.json` too.

# %%
figure, axis = plt.subplots(figsize=(3.6, 3.6), layout="constrained")
axis.plot([0, 180], [0, 180], color="0.8")
axis.scatter(built[simple], found[simple], label="simple")
axis.scatter(built[~simple], found[~simple], label="complex", marker="s")
axis.set(xlabel="built orientation (degrees)", ylabel="found in the twin (degrees)", xlim=(0, 180), ylim=(0, 180))
axis.legend(frameon=False)
figure.savefig("orientation.png", dpi=120)

# %% [markdown]
# ## Most exciting images
#
# Gradient ascent on a unit's rate, at a fixed contrast, compared with the best of 200 images from the recordings at
# the same contrast.

# %%
shell("analyze mei runs/tutorial --steps 50 --out analyses", lines=1)
with open("analyses/mei.csv") as file:
    images = list(csv.DictReader(file))
ratios = np.array([float(row["over_reference"]) for row in images])
print(f"rate over that of the best recorded image: {ratios.min():.1f} to {ratios.max():.1f}")

# %%
arrays = np.load("analyses/mei.npz")
figure, axes = plt.subplots(2, 6, figsize=(9, 3.4), layout="constrained")
for unit, axis in enumerate(axes.flat):
    image = arrays["SimA_2024-01-01/mei"][unit, 0]
    axis.imshow(image, cmap="gray", vmin=-abs(image).max(), vmax=abs(image).max())
    kind = "complex" if truth["SimA_2024-01-01", unit][1] else "simple"
    axis.set_title(f"{unit}: {kind}, {truth['SimA_2024-01-01', unit][0]:.0f}°", fontsize=9)
    axis.set_axis_off()
figure.savefig("images.png", dpi=120)

# %% [markdown]
# Stripes lie across the direction in the title, which goes from rightwards (0°) to downwards (90°). These are
# images that excite the *twin*: rates are comparable among themselves, and may be beyond what a neuron can reach.
#
# ## Further
#
# * Your own recordings: [data format](../data-format.md), [making sessions](../making-sessions.md).
# * Other models and recipes: [model zoo](../model-zoo.md), [training](../training.md).
# * What else can be asked of a twin: [evaluation](../evaluation.md), [analyses](../analyses.md), [from
#   Python](../python.md).
