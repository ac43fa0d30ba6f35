"""What is on the screen around gaze: Gabor noise, photographs, flashed images, gratings."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vctrain.data.simulation.calibration import Calibration, Geometry
from vctrain.data.simulation.gaze import FIXATION, FREE_VIEWING, Floats, GazeStyle
from vctrain.data.simulation.photographs import Photographs, window_around
from vctrain.data.simulation.streams import stream

CHUNK = 128
"""Frames rendered at a time."""
LIMIT = 0.498
"""Largest contrast a display with 255 grey levels shows around a mean of 127."""


class Stimulus(abc.ABC):
    """Renders the screen around gaze in contrast (0 = mean grey, 1 = black to white), on the retina's pixel grid."""

    style: GazeStyle = FIXATION

    def __init__(self, geometry: Geometry, rate: float) -> None:
        self.geometry = geometry
        self.rate = rate

    @abc.abstractmethod
    def chunks(self, rng: np.random.Generator, gaze: Floats) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """One trial for ``gaze`` ``(n, 2)`` in screen pixels (y down, x right): contrast ``(c, window, window)``.

        With it come labels: covariates of this stimulus type alone, first axis frames.
        """


class Gaborium(Stimulus):
    """Every frame a new sum of random Gabors, uniform over the screen; those out of sight are not drawn."""

    count = 36
    amplitude = 0.4
    periods = (5.0, 13.0)

    def chunks(self, rng: np.random.Generator, gaze: Floats) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for start in range(0, len(gaze), CHUNK):
            yield self._frames(rng, min(CHUNK, len(gaze) - start)), {}

    def _frames(self, rng: np.random.Generator, frames: int) -> Tensor:
        unit, shape = self.geometry.unit, (frames, self.count, 1)
        reach = self.geometry.window / 2 + 3.0 * unit
        place = torch.tensor(rng.uniform(-reach, reach, (2, *shape)), dtype=torch.float32)
        period = unit * np.exp(rng.uniform(math.log(self.periods[0]), math.log(self.periods[1]), shape))
        angle, phase = rng.uniform(0, np.pi, shape), rng.uniform(0, 2 * np.pi, shape)
        width = torch.tensor(period * rng.uniform(0.3, 0.55, shape), dtype=torch.float32)
        turn = 2 * np.pi / period
        waves = torch.tensor(np.stack([turn * np.sin(angle), turn * np.cos(angle)]), dtype=torch.float32)
        axis = torch.arange(self.geometry.window, dtype=torch.float32) - (self.geometry.window - 1) / 2
        # A Gabor is the real part of a product of two one-dimensional waves, so a frame is one small matrix product.
        down, right = axis - place[0], axis - place[1]
        along_y = torch.exp(-0.5 * (down / width).square()) * self.amplitude
        along_x = torch.exp(-0.5 * (right / width).square())
        turn_y, turn_x = waves[0] * down + torch.tensor(phase, dtype=torch.float32), waves[1] * right
        rows = torch.cat([along_y * turn_y.cos(), along_y * turn_y.sin().neg_()], dim=1)
        columns = torch.cat([along_x * turn_x.cos(), along_x * turn_x.sin()], dim=1)
        return torch.bmm(rows.transpose(1, 2), columns).clamp_(-LIMIT, LIMIT)


class Backimage(Stimulus):
    """One photograph a trial, explored freely."""

    style = FREE_VIEWING

    def __init__(self, geometry: Geometry, rate: float) -> None:
        super().__init__(geometry, rate)
        self.photographs = Photographs.bundled(geometry.unit)

    def chunks(self, rng: np.random.Generator, gaze: Floats) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        image, origin = self.photographs.random_view(rng)
        for start in range(0, len(gaze), CHUNK):
            part = gaze[start : start + CHUNK] + origin
            yield window_around(image, part, self.geometry.window).clamp_(-LIMIT, LIMIT), {}


class FixRsvp(Stimulus):
    """Photographs flashed one after the other in a soft round window; every trial shows the same sequence."""

    flash = 0.05
    images = 240
    radius = 24.0

    def __init__(self, geometry: Geometry, rate: float) -> None:
        super().__init__(geometry, rate)
        self.photographs = Photographs.bundled(geometry.unit)
        # The sequence belongs to the stimulus, not to a session: a fixed stream of its own.
        rng = stream(0, "fixrsvp")
        self.views = [self.photographs.random_view(rng) for _ in range(self.images)]

    def chunks(self, rng: np.random.Generator, gaze: Floats) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        hold = max(1, round(self.flash * self.rate))
        offsets = torch.arange(self.geometry.window, dtype=torch.float32) - (self.geometry.window - 1) / 2
        for start in range(0, len(gaze), hold):
            part = gaze[start : start + hold]
            image, origin = self.views[(start // hold) % self.images]
            place = torch.tensor(part, dtype=torch.float32)
            down, right = offsets + place[:, :1], offsets + place[:, 1:]
            distance = (down.square()[:, :, None] + right.square()[:, None, :]).sqrt()
            inside = torch.sigmoid((self.radius * self.geometry.unit - distance) / (1.5 * self.geometry.unit))
            frames = window_around(image, part + origin, self.geometry.window) * inside
            index = torch.arange(start, start + len(part), dtype=torch.int64)
            yield frames.clamp_(-LIMIT, LIMIT), {"psth_inds": index}


class Gratings(Stimulus):
    """Full-screen gratings: a new orientation, spatial frequency and phase every few frames, phases told per pixel."""

    flash = 0.025
    contrast = 0.3
    orientations = 12
    frequencies = (1.0, 1.4, 2.0, 2.8)

    def __init__(self, geometry: Geometry, rate: float, error: Calibration) -> None:
        super().__init__(geometry, rate)
        self.rows, self.columns = (torch.tensor(error.positions(geometry, axis)) for axis in (0, 1))

    def chunks(self, rng: np.random.Generator, gaze: Floats) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        hold = max(1, round(self.flash * self.rate))
        shown = -(-len(gaze) // hold)
        index = np.arange(len(gaze)) // hold
        angle = (np.pi / self.orientations * rng.integers(self.orientations, size=shown))[index]
        frequency = rng.choice(self.frequencies, size=shown)[index]
        phase = rng.uniform(0, 2 * np.pi, shown)[index]
        offsets = torch.arange(self.geometry.window, dtype=torch.float64) - (self.geometry.window - 1) / 2
        for start in range(0, len(gaze), CHUNK):
            at = slice(start, start + CHUNK)
            wave = torch.tensor(2 * np.pi * frequency[at] / self.geometry.per_degree)
            direction = torch.tensor(np.stack([np.sin(angle[at]), np.cos(angle[at])], axis=1)) * wave[:, None]
            origin = torch.tensor(phase[at]) + (torch.tensor(gaze[at]) * direction).sum(1)
            seen = _plane(origin, direction, offsets, offsets)
            told = _plane(origin, direction, self.rows, self.columns)
            labels = {
                "stim_phase": torch.remainder(told * (180.0 / math.pi), 360.0).float(),
                "ori": torch.tensor(np.degrees(angle[at]), dtype=torch.float32),
                "sf": torch.tensor(frequency[at], dtype=torch.float32),
            }
            yield (self.contrast * torch.cos(seen)).float(), labels


def _plane(origin: Tensor, direction: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``origin + direction . (row, column)``: ``(n,)``, ``(n, 2)``, ``(h,)``, ``(w,)`` to ``(n, h, w)``."""
    down, right = direction[:, :1] * rows, direction[:, 1:] * columns
    return origin[:, None, None] + down[:, :, None] + right[:, None, :]


def stimulus(kind: str, geometry: Geometry, rate: float, error: Calibration) -> Stimulus:
    """The stimulus of a type's name; ``error`` places the stored phases of gratings."""
    if kind == "gratings":
        return Gratings(geometry, rate, error)
    kinds: dict[str, type[Gaborium | Backimage | FixRsvp]] = {
        "gaborium": Gaborium,
        "backimage": Backimage,
        "fixrsvp": FixRsvp,
    }
    return kinds[kind](geometry, rate)
