"""How well a linear-nonlinear model does on the frames that the checkerboard twin is scored on.

python -m benchmarks.retina_linear SESSIONS.yaml     (the parent YAML of the recordings)

Spike-triggered averages of rank 1 (smoothed over 1.2 pixels, nothing below a fifth of the peak) and a nonlinearity of
30 bins. Cross-validated over all trials, it is compared with the scores stored in the files; fitted to training trials,
it is scored on the validation trials with and without the first minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from vctrain.data.splits import TRAIN, VAL, split_trials

Floats = npt.NDArray[np.float64]

LAGS, SMOOTH, FLOOR, REACH, BINS, FOLDS = 16, 1.2, 0.2, 10, 30, 5
SETTLE_SECONDS, RATE = 60.0, 30.0
SPLIT, SEED = 0.8, 1002
"""Of the parent YAML."""


class Recording:
    """Movie (-1, 1), counts and trials of one session, and each trial's spike-triggered sums."""

    def __init__(self, path: Path) -> None:
        content = torch.load(path, weights_only=True, mmap=True)
        covariates, self.stored = content["covariates"], np.array(content["metadata"]["ln_bits_per_spike"])
        self.movie = covariates["stim"].numpy().astype(np.float32) / 127 - 1
        self.counts = covariates["robs"].numpy().astype(np.float64)
        self.trial = covariates["trial_inds"].numpy()
        self.trials = np.unique(self.trial)
        self.sums = np.stack([self._sums(trial) for trial in self.trials])

    def _sums(self, trial: int) -> npt.NDArray[np.float32]:
        frames = np.flatnonzero(self.trial == trial)
        frames = frames[frames >= LAGS]
        counts = self.counts[frames].T.astype(np.float32)
        pixels = self.movie.reshape(len(self.movie), -1)
        return np.stack([counts @ pixels[frames - lag] for lag in range(LAGS)], axis=1)

    def predicted(self, fit: Sequence[int], test: Sequence[int]) -> Floats:
        """Rates ``(frames, units)`` on the frames of ``test`` trials, NaN elsewhere; ``fit``: trials to learn from."""
        out = np.full(self.counts.shape, np.nan)
        inside = np.arange(len(self.trial)) >= LAGS
        seen, asked = (inside & np.isin(self.trial, trials) for trials in (fit, test))
        sums = self.sums[np.isin(self.trials, fit)].sum(0)
        for unit, average in enumerate(sums.reshape(-1, LAGS, *self.movie.shape[1:])):
            drive = self._drive(average)
            counts = self.counts[seen, unit]
            edges = np.quantile(drive[seen], np.linspace(0, 1, BINS + 1)[1:-1])
            index = np.digitize(drive[seen], edges)
            frames = np.bincount(index, minlength=BINS)
            level = (np.bincount(index, counts, BINS) + 0.5 * counts.mean()) / (frames + 0.5)
            centre = np.bincount(index, drive[seen], BINS) / frames
            out[asked, unit] = np.interp(drive[asked], centre, level)
        return out

    def _drive(self, average: npt.NDArray[np.float32]) -> Floats:
        energy = (np.stack([gaussian_filter(lag, SMOOTH) for lag in average]) ** 2).max(0)
        y, x = np.unravel_index(energy.argmax(), energy.shape)
        area = slice(max(0, y - REACH), y + REACH + 1), slice(max(0, x - REACH), x + REACH + 1)
        part = average[:, *area]
        smooth = np.stack([gaussian_filter(lag, SMOOTH) for lag in part]).reshape(LAGS, -1)
        space = np.linalg.svd(smooth, full_matrices=False)[2][0]
        space = np.where(np.abs(space) > FLOOR * np.abs(space).max(), space, 0)
        time = part.reshape(LAGS, -1) @ space
        shown = self.movie[:, *area].reshape(len(self.movie), -1) @ space
        return np.convolve(shown, time / np.linalg.norm(time))[: len(shown)]

    def cross_validated(self) -> Floats:
        fold = np.random.default_rng(0).permutation(len(self.trials)) % FOLDS
        rates = np.full(self.counts.shape, np.nan)
        for k in range(FOLDS):
            part = self.predicted(self.trials[fold != k], self.trials[fold == k])
            rates = np.where(np.isnan(part), rates, part)
        return rates


def bits_per_spike(rates: Floats, counts: Floats) -> Floats:
    """Of each unit over the mean rate of the same frames, on frames that have a rate."""
    known = ~np.isnan(rates).any(1)
    rates, counts = rates[known], counts[known]
    spikes, mean = counts.sum(0), counts.mean(0)
    gain = (counts * np.log(np.maximum(rates, 1e-8))).sum(0) - rates.sum(0) - spikes * np.log(mean) + spikes
    return np.asarray(gain / spikes / np.log(2))


def main() -> None:
    """Print one JSON object: medians over units."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    found: dict[str, list[Floats]] = {name: [] for name in ("stored", "all", "validation", "settled", "first")}
    for path in sorted(parser.parse_args().data.parent.glob("*/checkerboard.dset")):
        recording = Recording(path)
        split = split_trials(recording.trials, (SPLIT,), SEED)
        rates = recording.predicted(recording.trials[split == TRAIN], recording.trials[split == VAL])
        late = np.arange(len(rates))[:, None] >= SETTLE_SECONDS * RATE
        found["stored"].append(recording.stored)
        found["all"].append(bits_per_spike(recording.cross_validated(), recording.counts))
        found["validation"].append(bits_per_spike(rates, recording.counts))
        found["settled"].append(bits_per_spike(np.where(late, rates, np.nan), recording.counts))
        found["first"].append(bits_per_spike(np.where(late, np.nan, rates), recording.counts))
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    print(
        json.dumps(
            {
                "benchmark": "retina_linear",
                "units": len(values["stored"]),
                "median_stored": float(np.median(values["stored"])),
                "median_cross_validated_over_all_trials": float(np.median(values["all"])),
                "correlation_with_stored": float(np.corrcoef(values["stored"], values["all"])[0, 1]),
                "median_on_validation_trials": float(np.median(values["validation"])),
                "median_on_validation_trials_without_first_minute": float(np.median(values["settled"])),
                "median_on_validation_frames_of_first_minute": float(np.median(values["first"])),
            }
        )
    )


if __name__ == "__main__":
    main()
