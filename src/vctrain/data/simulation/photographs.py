"""Which natural images are shown: photographs that come inside scikit-image, and windows cut from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vctrain.data.simulation.gaze import Floats

NAMES = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "rocket")
"""Photographs that every scikit-image wheel holds; nothing is downloaded."""
SOFTEN = 0.7
"""Blur in pixels of a 32-pixel patch, so that moving by a fraction of a pixel does not change the contrast."""
LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue."""
CONTRAST = 0.26
"""Standard deviation that photographs are brought to (black to white is 1)."""


@lru_cache(maxsize=2)
def _bundled(unit: float) -> tuple[Tensor, ...]:
    from skimage import data

    images = []
    for name in NAMES:
        image = torch.tensor(np.asarray(getattr(data, name)()), dtype=torch.float32)
        grey = image @ torch.tensor(LUMINANCE) if image.ndim == 3 else image
        grey = _softened(grey)
        if unit != 1.0:
            shape = [round(side * unit) for side in grey.shape]
            grey = functional.interpolate(grey[None, None], shape, mode="bicubic", antialias=unit < 1.0)[0, 0]
        images.append((grey - grey.mean()) / grey.std() * CONTRAST)
    return tuple(images)


def _softened(image: Tensor) -> Tensor:
    """Gaussian blur of width `SOFTEN`, edges mirrored."""
    taps = torch.exp(-0.5 * (torch.arange(-3, 4) / SOFTEN).square())
    taps = taps / taps.sum()
    for axis in (0, 1):
        index = _mirrored(torch.arange(-3, image.shape[axis] + 3), image.shape[axis])
        image = image.index_select(axis, index).unfold(axis, 7, 1) @ taps
    return image


@dataclass(frozen=True)
class Photographs:
    """Contrast images ``(h, w)`` float32 of mean 0."""

    images: tuple[Tensor, ...]

    @classmethod
    def bundled(cls, unit: float) -> Photographs:
        """scikit-image's photographs, one of their pixels a pixel of a 32-pixel patch, scaled by ``unit``."""
        return cls(_bundled(unit))

    def random_view(self, rng: np.random.Generator) -> tuple[Tensor, Floats]:
        """An image and the pixel (y, x) of it that lies in the middle of the screen."""
        image = self.images[int(rng.integers(len(self.images)))]
        return image, np.array([rng.uniform(0.3, 0.7) * side for side in image.shape])


def window_around(image: Tensor, centres: Floats, size: int) -> Tensor:
    """``(n, size, size)`` windows around ``centres`` ``(n, 2)`` (y, x) in pixels.

    Bilinear between pixels; beyond its edges the image is mirrored.
    """
    first = centres - (size - 1) / 2
    whole = np.floor(first)
    part = torch.tensor(first - whole, dtype=torch.float32)
    taps = torch.arange(size + 1)
    rows = _mirrored(torch.tensor(whole[:, 0], dtype=torch.int64)[:, None] + taps, image.shape[0])
    columns = _mirrored(torch.tensor(whole[:, 1], dtype=torch.int64)[:, None] + taps, image.shape[1])
    pixels = image.reshape(-1)[rows[:, :, None] * image.shape[1] + columns[:, None, :]]
    down, right = part[:, 0, None, None], part[:, 1, None, None]
    pixels = torch.lerp(pixels[:, :-1], pixels[:, 1:], down)
    return torch.lerp(pixels[:, :, :-1], pixels[:, :, 1:], right)


def _mirrored(index: Tensor, size: int) -> Tensor:
    folded = torch.remainder(index, 2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)
