"""Maps of noise have unit variance whatever they are weighted by, and a planted map is found."""

from __future__ import annotations

import numpy as np
import pytest

from vctrain.stats.triggered import effective_number, similarity, standard_scores, strength


@pytest.mark.parametrize("weights", ["spikes", "rates"])
def test_maps_without_a_signal_have_unit_variance(weights) -> None:
    """Of sparse spikes and of rates that hardly vary alike."""
    rng = np.random.default_rng(1)
    frames, pixels = 4000, 3000
    w = rng.poisson(0.05, frames).astype(float) if weights == "spikes" else 1.0 + 0.05 * rng.standard_normal(frames)
    noise = 0.3 * rng.standard_normal((frames, pixels))
    average = (w @ noise) / w.sum() - noise.mean(0)
    number = effective_number(np.array([w.sum()]), np.array([(w**2).sum()]), np.array([float(frames)]))
    scores = standard_scores(average[None, None], np.full(pixels, 0.3), number)
    assert scores.std() == pytest.approx(1.0, abs=0.06)


def test_units_without_weight_or_pixels_without_change_have_no_score() -> None:
    number = effective_number(np.array([0.0, 5.0]), np.array([0.0, 5.0]), np.array([100.0, 100.0]))
    assert number[0] == 0.0
    assert number[1] > 5.0
    scores = standard_scores(np.ones((1, 2, 2)), np.array([0.0, 1.0]), number)
    assert scores[0, 0].tolist() == [0.0, 0.0]
    assert scores[0, 1, 0] == 0.0
    assert scores[0, 1, 1] > 0.0


def test_the_peak_lag_is_counted_from_the_response() -> None:
    rng = np.random.default_rng(2)
    maps = rng.standard_normal((4 + 6, 2, 500))
    maps[4 + 3, 0] *= 5.0
    found = strength(maps, impossible=4)
    assert found.peak_lag[0] == 3
    assert found.snr[0] == pytest.approx(5.0, rel=0.1)
    assert found.snr[1] == pytest.approx(1.0, abs=0.15)
    assert np.isnan(strength(np.zeros((10, 1, 5)), 4).snr[0])


def test_similarity_is_pearsons_over_lags_and_pixels() -> None:
    rng = np.random.default_rng(3)
    first = rng.standard_normal((3, 2, 40))
    second = np.stack([2.0 * first[:, 0] + 1.0, rng.standard_normal((3, 40))], axis=1)
    found = similarity(first, second)
    assert found[0] == pytest.approx(1.0)
    expected = np.corrcoef(first[:, 1].flatten(), second[:, 1].flatten())[0, 1]
    assert found[1] == pytest.approx(expected)
    assert np.isnan(similarity(first, np.zeros_like(first))).all()
