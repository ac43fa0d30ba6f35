"""How do stored images become grey levels 0..255?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.clips import MEAN_GREY
from vctrain.data.making.arrays import Array
from vctrain.errors import ContractError

Greys = NDArray[np.uint8]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of red, green and blue in luminance: Recommendation ITU-R BT.709-6, 3.2."""
COLOURS = {3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Scale:
    """The stored values of black and of white."""

    low: float
    high: float
    note: str

    @property
    def as_stored(self) -> bool:
        """Whether values are grey levels already."""
        return (self.low, self.high) == (0.0, 255.0)


def scale_for(low: float, high: float, kind: np.dtype[Any], where: str) -> Scale:
    """Black and white of images by the range of some of their values: 0..1, -1..1, or grey levels 0..255.

    Raises ContractError for other ranges.
    """
    if not np.isfinite(low + high):
        raise ContractError(f"{where} has values that are not finite", hint="correct them, in the file")
    if low < 0 and low >= -1 and high <= 1:
        return Scale(-1.0, 1.0, f"{where}: {kind} between -1 and 1, taken for contrast; 0 becomes mean grey, 127")
    if low >= 0 and high <= 1:
        return Scale(0.0, 1.0, f"{where}: {kind} between 0 and 1, scaled to 0..255")
    if low >= 0 and high <= 255:
        note = "" if kind == np.uint8 else f"{where}: {kind} between 0 and 255, rounded to grey levels"
        return Scale(0.0, 255.0, note)
    raise ContractError(
        f"{where} has values between {low:g} and {high:g}", hint="say which are black and white: --grey LOW,HIGH"
    )


def to_grey(frames: Array, scale: Scale, shrink: int, where: str, first: int) -> Greys:
    """Frames (n, H, W) or (n, H, W, channels) as grey levels (n, H // shrink, W // shrink), 0.5 rounded down.

    Colours become luminance, transparent parts mean grey. Frames are numbered from `first` in errors: ContractError for
    values outside `scale`, or not finite.
    """
    if frames.dtype == np.uint8 and frames.ndim == 3 and scale.as_stored and shrink == 1:
        return frames
    values = frames.astype(np.float32)
    with np.errstate(invalid="ignore"):
        # NaN fails both comparisons
        good = ((values >= scale.low) & (values <= scale.high)).reshape(len(values), -1).all(axis=1)
    if not good.all():
        at = int(np.argmin(good))
        worst = values[at].ravel()[int(np.argmin((values[at] >= scale.low) & (values[at] <= scale.high)))]
        raise ContractError(
            f"{where} is {worst:g} in image {first + at:,}, and others lie between {scale.low:g} and {scale.high:g}",
            hint="say which values are black and white: --grey LOW,HIGH",
        )
    values = (values - scale.low) * (255.0 / (scale.high - scale.low))
    if values.ndim == 4:
        values = _luminance(values)
    if shrink > 1:
        n, height, width = len(values), values.shape[1] // shrink, values.shape[2] // shrink
        kept = values[:, : height * shrink, : width * shrink]
        values = kept.reshape(n, height, shrink, width, shrink).mean(axis=(2, 4))
    # Rounding 127.5, the middle of 0..255, to 127 keeps mean grey.
    return np.ceil(values - np.float32(0.5)).clip(0, 255).astype(np.uint8)


def _luminance(values: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = values.shape[3]
    if channels == 1:
        return values[..., 0]
    grey: NDArray[np.float32] = values[..., :3] @ LUMINANCE
    if channels == 4:
        opaque = values[..., 3] / 255.0
        grey = grey * opaque + MEAN_GREY * (1 - opaque)
    return grey
