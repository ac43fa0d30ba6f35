"""Does simulated gaze move, jump and get tracked like recorded gaze?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gaze_measures import RATE, measured
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.simulation import gaze as g

END = 6
"""Frames left out at the end of recorded traces: many end in the saccade or blink that ended the trial."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
LENGTHS = (60, 73, 114, 176, 293, 449, 540)
"""Frames of recorded traces at these quantiles."""

RECORDED = {
    "step 1": 0.04487,
    "step 4": 0.03615,
    "step 16": 0.04122,
    "step 64": 0.0744,
    "diffusion": 0.0007832,
    "jumps": 0.7404,
    "amplitude": 0.4106,
    "peak speed": 23.1,
    "main sequence": 0.9574,
    "overshoot": 0.4734,
    "velocity": 8.299,
    "power 2": 0.4598,
    "power 4": 0.1188,
    "power 8": 0.04726,
    "power 32": 0.03932,
    "power 55": 0.1072,
}
"""What `measured` finds in the recorded traces: 1059 fixations of two marmosets at 120 Hz."""

WITHIN = {
    "step 1": 1.1,
    "step 4": 1.1,
    "step 16": 1.1,
    "step 64": 1.25,
    "diffusion": 1.2,
    "jumps": 1.2,
    "amplitude": 1.15,
    "peak speed": 1.15,
    "main sequence": 1.15,
    "overshoot": 1.25,
    "velocity": 1.15,
    "power 2": 1.25,
    "power 4": 1.25,
    "power 8": 1.25,
    "power 32": 1.25,
    "power 55": 1.15,
}
"""By what factor simulated gaze may differ."""


def simulated(count: int = 900) -> list[np.ndarray]:
    """Tracked fixation in trials as long as the recorded ones."""
    traces = []
    for index, place in enumerate((np.arange(count) + 0.5) / count):
        rng = np.random.default_rng(index)
        frames = int(np.interp(place, QUANTILES, LENGTHS)) - END
        traces.append(g.track(rng, g.trial_gaze(rng, frames, RATE, g.FIXATION), RATE)[0])
    return traces


@pytest.fixture(scope="module")
def simulated_values() -> dict[str, float]:
    return measured(simulated())


@pytest.mark.parametrize("name", RECORDED)
def test_fixation_resembles_recorded_fixation(simulated_values: dict[str, float], name: str) -> None:
    ratio = simulated_values[name] / RECORDED[name]
    assert 1 / WITHIN[name] < ratio < WITHIN[name], f"{name} is {ratio:.2f} times that of recorded traces"


def test_the_recorded_values_are_those_of_the_traces(recorded_gaze: Path) -> None:
    with np.load(recorded_gaze) as file:
        pairs = zip(file["traces"].astype(float), file["durations"], strict=True)
        traces = [trace[: length - END] for trace, length in pairs]
    quantiles = np.quantile([len(trace) + END for trace in traces], QUANTILES)
    assert quantiles == pytest.approx(LENGTHS, abs=1)
    assert measured(traces) == pytest.approx(RECORDED, rel=2e-3)


def test_drift_diffuses() -> None:
    traces = np.stack([g.drift(np.random.default_rng(seed), 240, RATE) for seed in range(300)])
    squared = ((traces[:, 200] - traces[:, 80]) ** 2).sum(-1).mean()
    assert squared == pytest.approx(4 * g.DIFFUSION * 120 / RATE, rel=0.25)


def test_jumps_follow_the_main_sequence() -> None:
    small, large = 0.4, 2.5
    peak_small, peak_large = (1.875 * size / g.jump_duration(size) for size in (small, large))
    assert 25 < peak_small < 45
    assert 110 < peak_large < 220


@given(duration=st.floats(0.012, 0.05), rate=st.sampled_from([20.0, 120.0, 1000.0]), start=st.floats(0.0, 0.05))
@settings(max_examples=40, deadline=None)
def test_the_lens_lags_then_overshoots_then_rests(duration: float, rate: float, start: float) -> None:
    fine = g.lens_wobble(np.arange(0.0, 0.3, 1e-4), duration)
    assert fine[: int(duration / 2e-4)].min() < -0.1
    assert fine[int(duration / 1e-4) :].max() > 0.1
    times = np.arange(-0.1, 0.3, 1 / rate) - start
    coarse = g.lens_wobble(times, duration)
    assert np.all(coarse[times < 0] == 0)
    assert np.all(np.abs(coarse[times > duration + 0.08]) == 0)
    seen = (times >= 0) & (times < 0.29)
    assert np.allclose(coarse[seen], np.interp(times[seen], np.arange(0.0, 0.3, 1e-4), fine), atol=0.02)


def test_the_tracker_sees_the_lens_and_the_eye_does_not_overshoot() -> None:
    gaze = g.trial_gaze(np.random.default_rng(3), 600, RATE, g.FREE_VIEWING)
    still = g.Gaze(gaze.position, np.zeros_like(gaze.wobble))
    (with_lens, valid), (without, _) = (g.track(np.random.default_rng(0), one, RATE) for one in (gaze, still))
    assert np.abs(gaze.wobble).max() > 0.1
    assert np.allclose((with_lens - without)[valid], gaze.wobble[valid])


@given(seed=st.integers(0, 10_000), frames=st.integers(1, 900), rate=st.sampled_from([30.0, 120.0, 240.0]))
@settings(max_examples=40, deadline=None)
def test_tracking_is_finite_and_stands_still_in_gaps(seed: int, frames: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    true = g.trial_gaze(rng, frames, rate, g.FREE_VIEWING)
    seen, valid = g.track(rng, true, rate)
    assert seen.shape == true.position.shape == (frames, 2)
    assert np.isfinite(seen).all()
    inside = ~valid[1:]
    assert np.array_equal(seen[1:][inside], seen[:-1][inside])
    assert np.abs(seen - true.position - true.wobble)[valid].max(initial=0.0) < 8 * g.NOISE


def test_speed_is_seen_after_its_lag() -> None:
    gaze = np.zeros((120, 2))
    gaze[40:] = [0.3, 0.4]
    speed = g.smoothed_speed(gaze, RATE, lag=0.075)
    assert speed.argmax() == 40 + round(0.075 * RATE)
    assert speed.sum() / RATE == pytest.approx(0.5)
    assert np.all(speed[:40] == 0)
