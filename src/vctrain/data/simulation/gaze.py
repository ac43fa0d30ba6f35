"""Where do the eyes point: drift, microsaccades, saccades, and what a tracker reports of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DIFFUSION = 0.0008
"""Drift in deg^2/s, as a random walk seen over long times: mean squared displacement 4 D t."""
DRIFT_MEMORY = 0.03
"""Seconds over which the drift's velocity is correlated."""
REFRACTORY = 0.12
"""Shortest time from the start of one jump to the start of the next, in seconds."""
SMALL_JUMP = 0.42
"""Median microsaccade, in degrees."""
LARGEST_JUMP = 2.5
"""Largest saccade, in degrees."""
LENS_SWING = 4.4
"""How far the image of the lens lags behind the eye, in units of what the eye's acceleration does to an oscillator."""
LENS_FREQUENCY = 28.0
"""Natural frequency of the lens in Hz."""
LENS_DECAY = 0.006
"""Seconds in which its swing falls to 1/e."""
FINE = 5e-4
"""Seconds between the samples on which the swing is worked out, whatever the frame rate."""
NOISE = 0.022
"""Tracker noise in degrees a frame and axis."""
NOISE_MEMORY = -0.5
"""Correlation of successive noise samples: recorded trackers alternate (more power towards half the frame rate)."""
GAP_RATE = 0.05
"""Eye-tracking gaps (blinks, lost pupil) a second."""


@dataclass(frozen=True)
class GazeStyle:
    """How the subject looks: jumps a second, the fraction of them that are large, and how far gaze may go (deg)."""

    jumps: float
    large: float
    reach: float


FIXATION = GazeStyle(jumps=0.8, large=0.12, reach=0.6)
FREE_VIEWING = GazeStyle(jumps=2.0, large=0.5, reach=4.0)


@dataclass(frozen=True)
class Gaze:
    """One trial, both ``(frames, 2)`` in degrees: where the eyes point, and what the lens adds for the tracker."""

    position: Floats
    wobble: Floats


def jump_duration(amplitude: Floats | float) -> Floats | float:
    """Seconds a jump of ``amplitude`` degrees takes: with a minimum-jerk course, the main sequence of peak speeds.

    Peak speed is 1.875 times amplitude over duration: 31 deg/s at 0.4 degrees, 129 deg/s at 2.5 degrees.
    """
    return 0.0295 * amplitude**0.22


def _minimum_jerk(u: Floats) -> Floats:
    u = np.clip(u, 0.0, 1.0)
    return np.asarray(u**3 * (10.0 - 15.0 * u + 6.0 * u * u))


def lens_wobble(times: Floats, duration: float) -> Floats:
    """Overshoot of a tracker that follows a Purkinje image of the lens, at ``times`` (s) after a jump's start.

    In units of the jump's amplitude. The lens hangs elastically in the eye: it lags behind when a jump of ``duration``
    seconds begins and swings beyond its end (Deubel & Bridgeman 1995, Vision Research 35, 529-538), here as a damped
    oscillator driven by the acceleration of the jump. The gaze itself does not overshoot.
    """
    u = np.arange(0.0, duration, FINE) / duration
    acceleration = (60.0 * u - 180.0 * u**2 + 120.0 * u**3) / duration**2
    after = np.arange(0.0, 12.0 * LENS_DECAY, FINE)
    turn = 2.0 * np.pi * LENS_FREQUENCY
    swing = np.convolve(acceleration, np.exp(-after / LENS_DECAY) * np.sin(turn * after)) * FINE / turn
    return np.asarray(np.interp(times, np.arange(len(swing)) * FINE, -LENS_SWING * swing, left=0.0, right=0.0))


def drift(rng: np.random.Generator, frames: int, rate: float) -> Floats:
    """Fixational drift ``(frames, 2)`` in degrees: the integral of a velocity that forgets itself in `DRIFT_MEMORY`."""
    keep = np.exp(-1.0 / (rate * DRIFT_MEMORY))
    speed = np.sqrt(DIFFUSION / DRIFT_MEMORY)
    kicks = rng.standard_normal((frames, 2)) * speed * np.sqrt(1.0 - keep * keep)
    velocity = np.empty((frames, 2))
    now = rng.standard_normal(2) * speed
    for frame in range(frames):
        now = keep * now + kicks[frame]
        velocity[frame] = now
    return np.asarray(np.cumsum(velocity, axis=0) / rate)


def trial_gaze(rng: np.random.Generator, frames: int, rate: float, style: GazeStyle) -> Gaze:
    """Gaze of one trial of ``frames`` frames, in degrees from the middle of the screen, x to the right and y up.

    Small jumps head back towards where the subject is looking, large ones to a new place within reach.
    """
    times = np.arange(frames) / rate
    wander = drift(rng, frames, rate)
    anchor = rng.uniform(-1.0, 1.0, 2) * style.reach * (0.2 if style is FIXATION else 1.0)
    gaze = anchor + 0.1 * rng.standard_normal(2) + wander
    wobble = np.zeros_like(gaze)
    start = 0.0
    while True:
        start += REFRACTORY + rng.exponential(max(1.0 / style.jumps - REFRACTORY, 0.01))
        if start >= times[-1]:
            return Gaze(np.asarray(gaze), wobble)
        now = gaze[min(int(start * rate), frames - 1)]
        if rng.random() < style.large:
            target = rng.uniform(-1.0, 1.0, 2) * style.reach
            jump = target - now
            amplitude = float(np.clip(np.hypot(*jump), 0.3, LARGEST_JUMP))
            anchor = now + jump / max(float(np.hypot(*jump)), 1e-9) * amplitude
            jump = anchor - now
        else:
            back = anchor - now
            angle = np.arctan2(back[1], back[0]) + rng.standard_normal() * (0.6 if np.hypot(*back) > 0.2 else 1.8)
            amplitude = float(np.clip(SMALL_JUMP * np.exp(0.42 * rng.standard_normal()), 0.05, 1.0))
            jump = amplitude * np.array([np.cos(angle), np.sin(angle)])
        duration = float(jump_duration(amplitude))
        gaze = gaze + _minimum_jerk((times - start) / duration)[:, None] * jump
        wobble += lens_wobble(times - start, duration)[:, None] * jump


def track(rng: np.random.Generator, gaze: Gaze, rate: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What the tracker reports of ``gaze``: degrees ``(F, 2)`` with lens and noise, and which frames it tracked.

    In a gap the position stays at the last one seen, so that it is finite on every frame.
    """
    frames = len(gaze.position)
    noise = rng.standard_normal((frames, 2)) * NOISE * np.sqrt(1.0 - NOISE_MEMORY**2)
    for frame in range(1, frames):
        noise[frame] += NOISE_MEMORY * noise[frame - 1]
    seen = gaze.position + gaze.wobble + noise
    valid = np.ones(frames, dtype=np.bool_)
    for _ in range(int(rng.poisson(GAP_RATE * frames / rate))):
        first = int(rng.integers(frames))
        valid[first : first + max(1, int(rng.uniform(0.08, 0.3) * rate))] = False
    last = np.maximum.accumulate(np.where(valid, np.arange(frames), 0))
    return np.asarray(seen[last]), valid


def smoothed_speed(gaze: Floats, rate: float, lag: float, width: float = 0.08) -> Floats:
    """Speed of gaze ``lag`` seconds ago, ``(frames,)`` in deg/s.

    The magnitude of the velocity after smoothing with a raised cosine that is ``width`` seconds wide at half height.
    """
    velocity = np.diff(gaze, axis=0, prepend=gaze[:1]) * rate
    frames = np.arange(int(np.ceil((lag + width) * rate)) + 1)
    kernel = np.cos(np.clip((frames / rate - lag) / width, -1.0, 1.0) * np.pi / 2) ** 2
    kernel /= kernel.sum()
    past = np.stack([np.convolve(velocity[:, axis], kernel)[: len(gaze)] for axis in (0, 1)], axis=1)
    return np.asarray(np.hypot(past[:, 0], past[:, 1]))
