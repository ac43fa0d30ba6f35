"""How does the stored patch differ from what the units saw: scale, shift and blur of each session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vctrain.data.simulation.streams import stream

SMALLEST, LARGEST = 0.8, 1.25
MEAN_GREY, GREY_RANGE = 127.0, 255.0


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels: ``size`` of a patch, ``margin`` of screen kept around it, pixels a degree of visual angle."""

    size: int

    @property
    def unit(self) -> float:
        """Spatial constants are given for a patch of 32 pixels and grow with it."""
        return self.size / 32.0

    @property
    def per_degree(self) -> float:
        """A patch always spans two degrees."""
        return self.size / 2.0

    @property
    def margin(self) -> int:
        """Enough screen around a patch for the largest scale, shift and blur."""
        return int(np.ceil(self.size * (LARGEST - 1.0) / 2 + 4.0 * self.unit))

    @property
    def window(self) -> int:
        """Side of the screen window that is rendered around gaze."""
        return self.size + 2 * self.margin


@dataclass(frozen=True)
class Calibration:
    """One session's error: a stored pixel ``p`` (from the centre) shows the retinal position ``scale * p + shift``.

    ``shift`` is (y, x) in retinal pixels, ``blur`` the width (standard deviation) of a Gaussian in retinal pixels.
    """

    scale: float
    shift: tuple[float, float]
    blur: float

    def matrix(self, geometry: Geometry, axis: int) -> Tensor:
        """``(size, window)`` float32: resamples one axis (0 = y, 1 = x) of the rendered window to the stored patch."""
        stored = np.arange(geometry.size) - (geometry.size - 1) / 2
        seen = np.arange(geometry.window) - (geometry.window - 1) / 2
        distance = (self.scale * stored + self.shift[axis])[:, None] - seen[None, :]
        weights = np.exp(-0.5 * (distance / self.blur) ** 2)
        return torch.tensor(weights / weights.sum(axis=1, keepdims=True), dtype=torch.float32)

    def positions(self, geometry: Geometry, axis: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Retinal position in pixels from the centre that each stored row (0) or column (1) shows, ``(size,)``."""
        stored = np.arange(geometry.size) - (geometry.size - 1) / 2
        return np.asarray(self.scale * stored + self.shift[axis])


def calibration(seed: int, session: int, sessions: int, geometry: Geometry) -> Calibration:
    """The error of one of ``sessions`` sessions: scales spread evenly (in log) from 0.8 to 1.25, in random order.

    A single session takes one random scale of that range.
    """
    order = stream(seed, "calibration", "order").permutation(sessions)
    rng = stream(seed, session, "calibration")
    place = order[session] / (sessions - 1) if sessions > 1 else rng.random()
    scale = float(SMALLEST * (LARGEST / SMALLEST) ** place)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.75) * geometry.unit
    shift = (float(length * np.sin(angle)), float(length * np.cos(angle)))
    return Calibration(scale, shift, float(rng.uniform(0.5, 0.8) * geometry.unit))


def stored(frames: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Rendered contrast ``(n, window, window)`` as the stored patch: uint8 ``(n, size, size)``, 127 = mean grey."""
    patch = rows @ (frames @ columns.t())
    return (patch * GREY_RANGE + MEAN_GREY).round_().clamp_(0, 255).to(torch.uint8)
