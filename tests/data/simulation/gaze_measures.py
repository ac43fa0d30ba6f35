"""What characterises traces of gaze: diffusion, jumps, their speed and overshoot, noise; for any traces alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RATE = 120.0
BEFORE, AFTER = 12, 14
"""Frames around the fastest frame of a jump in which its course is looked at."""


def speed(trace: Floats) -> Floats:
    """Velocity ``(F - 4, 2)`` in deg/s over five frames (Engbert & Kliegl 2003)."""
    return (trace[4:] + trace[3:-1] - trace[1:-3] - trace[:-4]) * RATE / 6


def jumps(trace: Floats) -> list[tuple[int, int]]:
    """First and last (exclusive) frame of `speed` of each jump: at least two beyond 6 median deviations."""
    velocity = speed(trace)
    spread = np.sqrt(np.median(velocity**2, 0) - np.median(velocity, 0) ** 2)
    fast = ((velocity / (6 * spread)) ** 2).sum(1) > 1
    edges = np.diff(np.concatenate([[0], fast.astype(int), [0]]))
    pairs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return [(int(start), int(stop)) for start, stop in pairs if stop - start >= 2]


def median_step(traces: Sequence[Floats], lag: int) -> float:
    """Median distance in degrees between positions ``lag`` frames apart."""
    return float(np.median(np.concatenate([np.hypot(*(trace[lag:] - trace[:-lag]).T) for trace in traces])))


def diffusion(traces: Sequence[Floats], near: int = 12, far: int = 24) -> float:
    """Drift between jumps in deg^2/s: what the median squared displacement gains from ``near`` to ``far`` frames.

    A difference, so that noise drops out; medians, so that jumps too small to be found do. The median of a squared
    distance in a plane is 4 D t ln 2.
    """
    medians: dict[int, list[float]] = {near: [], far: []}
    for trace in traces:
        still = np.ones(len(trace), dtype=bool)
        for start, stop in jumps(trace):
            still[max(0, start - 2) : stop + 6] = False
        edges = np.diff(np.concatenate([[0], still.astype(int), [0]]))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            for lag, found in medians.items():
                if stop - start >= lag + 12:
                    moved = trace[start + lag : stop] - trace[start : stop - lag]
                    found.append(float(np.median((moved**2).sum(1))))
    gain = np.median(medians[far]) - np.median(medians[near])
    return float(gain / (4 * np.log(2) * (far - near) / RATE))


def jump_statistics(traces: Sequence[Floats]) -> dict[str, float]:
    """Jumps a second, median amplitude (deg) and peak speed (deg/s), slope of the main sequence in logs, overshoot."""
    sizes, peaks, beyond, seconds = [], [], [], 0.0
    for trace in traces:
        velocity = np.hypot(*speed(trace).T)
        seconds += len(trace) / RATE
        for start, stop in jumps(trace):
            sizes.append(np.hypot(*(trace[min(stop + 3, len(trace) - 1)] - trace[start + 1])))
            peaks.append(velocity[start:stop].max())
            middle = start + 2 + int(velocity[start:stop].argmax())
            if middle >= BEFORE and middle + AFTER <= len(trace):
                origin = np.median(trace[middle - 10 : middle - 4], axis=0)
                way = np.median(trace[middle + 8 : middle + AFTER], axis=0) - origin
                if 0.3 < np.hypot(*way) < 0.5:
                    beyond.append((trace[middle + 1] - origin) @ way / (way @ way) - 1.0)
    return {
        "jumps": len(sizes) / seconds,
        "amplitude": float(np.median(sizes)),
        "peak speed": float(np.median(peaks)),
        "main sequence": float(np.polyfit(np.log(sizes), np.log(peaks), 1)[0]),
        "overshoot": float(np.median(beyond)),
    }


def velocity_rms(traces: Sequence[Floats]) -> float:
    """Median over traces of the root mean square of frame-to-frame velocity in deg/s."""
    squares = [((np.diff(trace, axis=0) * RATE) ** 2).sum(1).mean() for trace in traces]
    return float(np.median(np.sqrt(squares)))


def spectrum(traces: Sequence[Floats], hertz: Sequence[float]) -> list[float]:
    """Median power of position at some frequencies, over stretches of 128 frames."""
    parts = [trace[i : i + 128] for trace in traces for i in range(0, len(trace) - 127, 64)]
    shaped = np.array([(part - part.mean(0)) * np.hanning(128)[:, None] for part in parts])
    power = np.median((np.abs(np.fft.rfft(shaped, axis=1)) ** 2).sum(-1), axis=0)
    return [float(value) for value in np.interp(hertz, np.fft.rfftfreq(128, 1 / RATE), power)]


def measured(traces: Sequence[Floats]) -> dict[str, float]:
    """Everything above, by name."""
    powers = (2.0, 4.0, 8.0, 32.0, 55.0)
    return {
        **{f"step {lag}": median_step(traces, lag) for lag in (1, 4, 16, 64)},
        "diffusion": diffusion(traces),
        **jump_statistics(traces),
        "velocity": velocity_rms(traces),
        **{f"power {hertz:g}": power for hertz, power in zip(powers, spectrum(traces, powers), strict=True)},
    }
