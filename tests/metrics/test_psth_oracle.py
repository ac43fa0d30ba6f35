"""The mean of the other repeats: by loops, by its expected value for Poisson counts, and on recorded repeats."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from made_repeats import ended_early, poisson, rates
from scipy.stats import poisson as poisson_law

from vctrain.errors import UsageError
from vctrain.metrics.psth_oracle import EMPTY_BIN, leave_one_out, oracle_sums
from vctrain.metrics.repeats import Minimum, Repeats, arrange

SHARED = Path(os.environ.get("VCTRAIN_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def by_loops(counts: np.ndarray, valid: np.ndarray, empty: float, least: int) -> float:
    """Bits per spike of one unit ``(R, T)``, entry by entry."""
    observed, predicted = [], []
    for n in range(counts.shape[0]):
        for t in range(counts.shape[1]):
            others = [counts[m, t] for m in range(len(counts)) if m != n and valid[m, t]]
            if valid[n, t] and len(others) + 1 >= least:
                observed.append(counts[n, t])
                predicted.append(sum(others) / len(others) if sum(others) else empty / len(others))
    r, p = np.array(observed), np.array(predicted)
    null = np.full_like(r, r.mean())
    gain = (r * np.log(p) - p) - (r * np.log(null) - null)
    return float(gain.sum() / r.sum() / math.log(2))


@pytest.mark.parametrize("empty", [EMPTY_BIN, 0.05])
def test_equals_the_loops(empty: float) -> None:
    counts = poisson(0, rates(0, 30, 3, level=0.2), 8)
    valid = np.broadcast_to(ended_early(1, 8, 30, 15)[..., None], counts.shape).copy()
    valid[2, 4:9, 1] = False
    found = oracle_sums(Repeats.of(counts, valid), Minimum(4, 5), empty=empty)
    expected = [by_loops(counts[..., u], valid[..., u], empty, 4) for u in range(3)]
    assert found.bits_per_spike().tolist() == pytest.approx(expected, abs=1e-10)
    scored = leave_one_out(Repeats.of(counts, valid), Minimum(4, 5))[1]
    assert found.frames.tolist() == scored.sum((0, 1)).tolist()
    assert not (scored & ~valid).any()


def test_only_empty_bins_get_the_floor() -> None:
    counts = np.array([0, 0, 0, 3, 0.0])[:, None, None] * np.ones((5, 20, 1))
    rate, _ = leave_one_out(Repeats.of(counts))
    assert rate[:, 0, 0].tolist() == [0.75, 0.75, 0.75, EMPTY_BIN / 4, 0.75]


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_reaches_its_expected_value_for_poisson_counts(level: float) -> None:
    """The others' sum is Poisson with R - 1 times the rate, independent of the repeat that is scored."""
    repeats, n = 15, 14
    rate = rates(0, 60, 1, level=level)[:, 0]
    sums = np.arange(int(n * rate.max() * 3 + 40))
    chance = poisson_law.pmf(sums, n * rate[:, None])
    guess = np.maximum(sums, EMPTY_BIN) / n
    mean, log = chance @ guess, chance @ np.log(guess)
    null = rate.sum() * math.log(rate.mean()) - rate.sum()
    expected = ((rate * log).sum() - mean.sum() - null) / rate.sum() / math.log(2)
    counts = poisson(1, np.repeat(rate[:, None], 400, 1), repeats)
    found = oracle_sums(Repeats.of(counts)).bits_per_spike().numpy()
    # The null model's mean is fitted to the counts, which gives it about 1 / (2 ln 2) bits per unit.
    fitted = 1 / (2 * math.log(2)) / (repeats * rate.sum())
    assert abs(found.mean() - (expected - fitted)) < 4 * found.std() / 20
    assert found.std() / 20 < 0.01


def test_is_below_the_true_rate_and_approaches_it_with_more_repeats() -> None:
    rate = rates(0, 200, 10, level=0.3)

    def short_of_the_truth(repeats: int) -> float:
        found = Repeats.of(poisson(1, rate, repeats))
        sums = oracle_sums(found)
        null = rate * np.log(rate / rate.mean(0))
        return float((null.sum(0) / rate.sum(0) / math.log(2) - sums.bits_per_spike().numpy()).mean())

    gaps = [short_of_the_truth(repeats) for repeats in (5, 20, 80, 320)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == pytest.approx(0, abs=0.02)


def test_units_without_a_value_are_nan_and_the_floor_is_checked() -> None:
    counts = poisson(0, rates(0, 25, 4), 5)
    counts[..., 1] = 0
    counts[2:, :, 2] = np.nan
    counts[:, 10:, 3] = np.nan
    bps = oracle_sums(Repeats.of(counts)).bits_per_spike()
    assert bps.isnan().tolist() == [False, True, True, True]
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UsageError, match="empty bins"):
            leave_one_out(Repeats.of(counts), empty=wrong)


def test_recorded_ganglion_cells_reach_the_published_values() -> None:
    folder = SHARED / "data" / "retina"
    if not (folder / "flicker" / "flicker.npz").is_file():
        pytest.skip(f"no retina recordings in {folder} (set VCTRAIN_SHARED)")
    text = (folder / "PROVENANCE.md").read_text()
    published = re.search(r"leave-one-out mean over repeats reaches ([\d. ]+)\.", text)
    assert published
    recorded = np.load(folder / "flicker" / "flicker.npz")["counts"]
    frame = np.arange(len(recorded))
    within = frame % 2400 - 1800
    repeats = arrange(within, frame // 2400).repeats(recorded, np.ones((len(frame), 1)))
    assert repeats.counts.shape == (30, 600, 6)
    expected = [float(value) for value in published[1].split()]
    assert oracle_sums(repeats).bits_per_spike().tolist() == pytest.approx(expected, abs=0.1)
