"""Does simulated gaze move, jump and get tracked like recorded gaze?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.simulation import gaze as g

RATE = 120.0


def fixations(count: int = 150, frames: int = 400) -> list[np.ndarray]:
    traces = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        traces.append(g.track(rng, g.trial_gaze(rng, frames, RATE, g.FIXATION), RATE)[0])
    return traces


def median_step(traces: list[np.ndarray], lag: int) -> float:
    """Median distance in degrees between positions ``lag`` frames apart."""
    steps = [np.hypot(*(trace[lag:] - trace[:-lag]).T) for trace in traces]
    return float(np.median(np.concatenate(steps)))


def events(traces: list[np.ndarray]) -> tuple[float, np.ndarray, np.ndarray]:
    """Microsaccades a second, their amplitudes and peak speeds (6 median deviations: Engbert & Kliegl 2003)."""
    amplitudes, peaks, seconds = [], [], 0.0
    for trace in traces:
        velocity = (trace[4:] + trace[3:-1] - trace[1:-3] - trace[:-4]) * RATE / 6
        spread = np.sqrt(np.median(velocity**2, 0) - np.median(velocity, 0) ** 2)
        fast = ((velocity / (6 * spread)) ** 2).sum(1) > 1
        edges = np.diff(np.concatenate([[0], fast.astype(int), [0]]))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            if stop - start >= 2:
                amplitudes.append(np.hypot(*(trace[min(stop + 3, len(trace) - 1)] - trace[start + 1])))
                peaks.append(np.hypot(*velocity[start:stop].T).max())
        seconds += len(trace) / RATE
    return len(amplitudes) / seconds, np.array(amplitudes), np.array(peaks)


def spectrum(traces: list[np.ndarray], hertz: float) -> float:
    """Median power of position at a frequency."""
    parts = [t[i : i + 128] for t in traces for i in range(0, len(t) - 127, 64)]
    shaped = np.array([(part - part.mean(0)) * np.hanning(128)[:, None] for part in parts])
    power = np.median((np.abs(np.fft.rfft(shaped, axis=1)) ** 2).sum(-1), axis=0)
    return float(np.interp(hertz, np.fft.rfftfreq(128, 1 / RATE), power))


def test_it_resembles_recorded_fixation(recorded_gaze: Path) -> None:
    with np.load(recorded_gaze) as file:
        pairs = zip(file["traces"], file["durations"], strict=True)
        recorded = [trace[:length] for trace, length in pairs if length > 130 and np.isfinite(trace[:length]).all()]
    simulated = fixations()
    for lag, factor in ((1, 1.15), (2, 1.2), (4, 1.3), (16, 1.5), (64, 2.5)):
        ratio = median_step(simulated, lag) / median_step(recorded, lag)
        assert 1 / factor < ratio < factor, f"median step over {lag} frames is {ratio:.2f} times the recorded one"
    (rate, size, speed), (rate_seen, size_seen, speed_seen) = events(simulated), events(recorded)
    assert 0.67 < rate / rate_seen < 1.5
    assert 0.67 < np.median(size) / np.median(size_seen) < 1.5
    assert 0.6 < np.median(speed) / np.median(speed_seen) < 1.5
    slope, slope_seen = (np.polyfit(np.log(a), np.log(p), 1)[0] for a, p in ((size, speed), (size_seen, speed_seen)))
    assert abs(slope - slope_seen) < 0.2, "main sequence"
    for hertz in (32.0, 55.0):
        assert 0.67 < spectrum(simulated, hertz) / spectrum(recorded, hertz) < 1.5, "tracker noise"
    # Between jumps and noise, power falls with about the square of the frequency.
    fall, fall_seen = (spectrum(traces, 2.0) / spectrum(traces, 8.0) for traces in (simulated, recorded))
    assert 0.5 < fall / fall_seen < 2.5


def test_drift_diffuses() -> None:
    traces = np.stack([g.drift(np.random.default_rng(seed), 240, RATE) for seed in range(300)])
    squared = ((traces[:, 200] - traces[:, 80]) ** 2).sum(-1).mean()
    assert squared == pytest.approx(4 * g.DIFFUSION * 120 / RATE, rel=0.25)


def test_jumps_follow_the_main_sequence() -> None:
    small, large = 0.4, 2.5
    peak_small, peak_large = (1.875 * size / g.jump_duration(size) for size in (small, large))
    assert 25 < peak_small < 45
    assert 130 < peak_large < 220


@given(seed=st.integers(0, 10_000), frames=st.integers(1, 900), rate=st.sampled_from([30.0, 120.0, 240.0]))
@settings(max_examples=40, deadline=None)
def test_tracking_is_finite_and_stands_still_in_gaps(seed: int, frames: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    true = g.trial_gaze(rng, frames, rate, g.FREE_VIEWING)
    seen, valid = g.track(rng, true, rate)
    assert seen.shape == true.shape == (frames, 2)
    assert np.isfinite(seen).all()
    inside = ~valid[1:]
    assert np.array_equal(seen[1:][inside], seen[:-1][inside])
    assert np.abs(seen - true)[valid].max(initial=0.0) < 8 * g.NOISE


def test_speed_is_seen_after_its_lag() -> None:
    gaze = np.zeros((120, 2))
    gaze[40:] = [0.3, 0.4]
    speed = g.smoothed_speed(gaze, RATE, lag=0.075)
    assert speed.argmax() == 40 + round(0.075 * RATE)
    assert speed.sum() / RATE == pytest.approx(0.5)
    assert np.all(speed[:40] == 0)
