"""What do the simulated neurons compute: simple and complex cells with gain control, modulated by eye velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vctrain.data.simulation.calibration import Geometry
from vctrain.data.simulation.gaze import Floats, smoothed_speed

COMPLEX_FRACTION = 0.55
HISTORY = 14.0 / 120.0
"""Seconds of stimulus history a unit has, the present frame included."""
LAGS = (0.04, 0.065, 0.09)
"""Delays of the eye-velocity gain, in seconds."""
HALF_SPEED = 1.5
"""Smoothed eye speed in deg/s at which the gain is half way."""
RATES = (10.0, 31.0)
"""Mean rates in spikes a second, drawn evenly in log."""
SPONTANEOUS = 0.12
"""Firing without drive, as a fraction of the mean."""
SEMISATURATION = 0.015
"""Local contrast (root mean square) at which normalisation sets in."""
SURROUND = 4.0
"""Blur in pixels that takes local luminance, which local contrast is measured against."""
SIMPLE_OUTPUT = (0.1, 1.0)
COMPLEX_OUTPUT = (0.5, 1.6)
"""Threshold and power of the output, in root mean squares of the drive."""
SATURATION = 2.5
"""Drive, in multiples of a unit's mean, at which its response is half of what it would be without saturation."""


@dataclass(frozen=True)
class Units:
    """Parameters of a session's units, one entry a unit; lengths in pixels, positions (y, x) from the patch centre."""

    complex: npt.NDArray[np.bool_]
    centre: Floats
    orientation: Floats
    period: Floats
    width: Floats
    phase: Floats
    speed: Floats
    """0 for the fast temporal kernel, 1 for the slow one, between them a mixture."""
    rate: Floats
    gain: Floats
    """Log gain at high eye speed: positive units fire more around eye movements, negative ones less."""
    lag: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rate)


def draw_units(rng: np.random.Generator, count: int, geometry: Geometry) -> Units:
    """Units of one session. At least 40 % are complex for any count."""
    unit = geometry.unit
    complex_cells = np.zeros(count, dtype=np.bool_)
    complex_cells[rng.permutation(count)[: math.ceil(COMPLEX_FRACTION * count)]] = True
    period = rng.uniform(7.0, 10.5, count) * unit
    radius, angle = 4.0 * unit * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    enhanced = rng.random(count) < 0.7
    return Units(
        complex=complex_cells,
        centre=np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1),
        orientation=rng.uniform(0, np.pi, count),
        period=period,
        width=period * rng.uniform(0.35, 0.42, count),
        phase=rng.uniform(0, 2 * np.pi, count),
        speed=rng.random(count),
        rate=np.exp(rng.uniform(math.log(RATES[0]), math.log(RATES[1]), count)),
        gain=np.where(enhanced, rng.uniform(1.4, 2.1, count), rng.uniform(-3.0, -1.9, count)),
        lag=rng.integers(len(LAGS), size=count),
    )


def spatial_filters(units: Units, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Gabors ``(size * size, 2 * units)`` and windows of the normalisation pools ``(size * size, units)``, float32.

    First all even Gabors, then their odd partners: of unit norm and blind to mean luminance. Windows sum to one.
    """
    axis = np.arange(geometry.size) - (geometry.size - 1) / 2
    down = axis[:, None, None] - units.centre[:, 0]
    right = axis[None, :, None] - units.centre[:, 1]
    distance = down**2 + right**2
    envelope = np.exp(-0.5 * distance / units.width**2)
    turn = (
        2 * np.pi / units.period * (np.sin(units.orientation) * down + np.cos(units.orientation) * right) + units.phase
    )
    pairs = []
    for wave in (np.cos(turn), np.sin(turn)):
        gabor = wave - (wave * envelope).sum((0, 1)) / envelope.sum((0, 1))
        gabor = gabor * envelope
        pairs.append(gabor / np.sqrt((gabor**2).sum((0, 1))))
    pool = np.exp(-0.5 * distance / (1.5 * units.width) ** 2)
    pool /= pool.sum((0, 1))
    pixels = geometry.size**2
    filters = np.concatenate(pairs, axis=2).reshape(pixels, -1)
    return torch.tensor(filters, dtype=torch.float32), torch.tensor(pool.reshape(pixels, -1), dtype=torch.float32)


def blur_matrix(size: int, width: float) -> Tensor:
    """Gaussian blur of one axis of an image, ``(size, size)`` float32, symmetric; beyond the edges is mean grey."""
    distance = np.subtract.outer(np.arange(size), np.arange(size)) / width
    return torch.tensor(np.exp(-0.5 * distance**2) / (width * np.sqrt(2 * np.pi)), dtype=torch.float32)


def temporal_kernels(units: Units, rate: float) -> tuple[Tensor, Tensor]:
    """Biphasic kernels of unit norm and pool kernels of unit sum, ``(units, taps)``, present first.

    A positive lobe 38 to 52 ms ago and a weaker negative one 25 to 30 ms before it; nothing beyond `HISTORY`.
    """
    taps = max(2, round(HISTORY * rate))
    lag = (np.arange(taps) + 0.5) / taps * HISTORY

    def lobe(peak: float, width: float) -> Floats:
        return np.asarray(np.exp(-0.5 * ((lag - peak) / width) ** 2))

    fast = lobe(0.038, 0.010) - 0.38 * lobe(0.063, 0.013)
    slow = lobe(0.052, 0.013) - 0.38 * lobe(0.082, 0.015)
    fade = np.clip((HISTORY - lag) / 0.015, 0.0, 1.0)
    mixture = units.speed[:, None]
    kernel = ((1 - mixture) * fast + mixture * slow) * fade
    pool = ((1 - mixture) * lobe(0.045, 0.020) + mixture * lobe(0.058, 0.022)) * fade
    kernel /= np.sqrt((kernel**2).sum(1, keepdims=True))
    pool /= pool.sum(1, keepdims=True)
    return torch.tensor(kernel, dtype=torch.float32), torch.tensor(pool, dtype=torch.float32)


def filtered(signal: Tensor, kernels: Tensor) -> Tensor:
    """Causal filtering of ``(n, units)`` with ``(units, taps)``; before the first frame there was mean grey."""
    padded = torch.nn.functional.pad(signal, (0, 0, kernels.shape[1] - 1, 0))
    out = torch.zeros_like(signal)
    for lag in range(kernels.shape[1]):
        start = kernels.shape[1] - 1 - lag
        out += kernels[:, lag] * padded[start : start + len(signal)]
    return out


class Population:
    """The units of one session at work: window around gaze in, visual drive and gain out."""

    def __init__(self, units: Units, geometry: Geometry, rate: float) -> None:
        self.units = units
        self.geometry = geometry
        self.rate = rate
        self.filters, self.pools = spatial_filters(units, geometry)
        self.kernels, self.pool_kernels = temporal_kernels(units, rate)
        self.surround = blur_matrix(geometry.window, SURROUND * geometry.unit)
        self.scale = torch.ones(len(units))
        """Root mean square of each unit's normalised drive on `calibrate`'s frames."""

    def projections(self, frames: Tensor) -> Tensor:
        """``(n, window, window)`` contrast to ``(n, 3 * units)``: even, odd and local contrast energy."""
        inner = slice(self.geometry.margin, self.geometry.margin + self.geometry.size)
        contrast = (frames - self.surround @ frames @ self.surround)[:, inner, inner].reshape(len(frames), -1)
        patch = frames[:, inner, inner].reshape(len(frames), -1)
        return torch.cat([patch @ self.filters, contrast.square() @ self.pools], dim=1)

    def _normalised(self, projections: Tensor) -> Tensor:
        """Filter outputs over local contrast (divisive normalisation); for complex cells the pair's length."""
        even, odd, energy = projections.chunk(3, dim=1)
        even, odd = filtered(even, self.kernels), filtered(odd, self.kernels)
        contrast = torch.sqrt(filtered(energy, self.pool_kernels).clamp_min(0.0) + SEMISATURATION**2)
        complex_cells = torch.tensor(self.units.complex)
        return torch.where(complex_cells, torch.sqrt(even.square() + odd.square()), even) / contrast

    def calibrate(self, projections: Tensor) -> None:
        """Measure `scale` on one stretch of gaborium, so that thresholds mean the same for every unit."""
        self.scale = self._normalised(projections).square().mean(0).sqrt()

    def drive(self, projections: Tensor) -> Tensor:
        """Visual response of one trial, ``(n, units)`` float32, in arbitrary units: threshold, then a power."""
        drive = self._normalised(projections) / self.scale
        complex_cells = torch.tensor(self.units.complex)
        threshold = torch.where(complex_cells, COMPLEX_OUTPUT[0], SIMPLE_OUTPUT[0])
        power = torch.where(complex_cells, COMPLEX_OUTPUT[1], SIMPLE_OUTPUT[1])
        return (drive - threshold).clamp_min(0.0).pow(power)

    def gain(self, gaze: Floats) -> Tensor:
        """Gain by eye velocity in one trial, ``(n, units)`` float32; ``gaze`` ``(n, 2)`` in degrees.

        ``exp(gain * v / (v + HALF_SPEED))`` with the speed ``v`` a fixed lag ago: saturating, and 1 for steady eyes.
        """
        speeds = np.stack([smoothed_speed(gaze, self.rate, lag) for lag in LAGS], axis=1)[:, self.units.lag]
        return torch.tensor(np.exp(self.units.gain * speeds / (speeds + HALF_SPEED)), dtype=torch.float32)


def saturated(drive: Tensor, mean: Tensor) -> Tensor:
    """Response ``(n, units)`` to a drive whose mean over the session is ``mean`` ``(units,)``."""
    return drive / (1.0 + drive / (SATURATION * mean))


def visual_rate(response: Tensor, mean: Tensor, units: Units, rate: float) -> Tensor:
    """Rate without gain in spikes a bin, ``(n, units)``: spontaneous and driven firing, of the unit's own mean rate."""
    level = torch.tensor(units.rate / rate, dtype=torch.float32)
    return level * (SPONTANEOUS + (1.0 - SPONTANEOUS) * response / mean)
