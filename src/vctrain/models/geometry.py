"""Where on the core's grid do the pixels of a feature map lie, and what does a stage of the core read or write?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Where feature-map pixels lie on the core's grid: grid pixel = ``stride * index + offset``, and the map's side."""

    size: int
    stride: float = 1.0
    offset: float = 0.0

    def after(self, taps: int, stride: int, padding: int) -> Geometry:
        """The geometry after a convolution or pooling with ``taps``, ``stride`` and ``padding`` on both sides."""
        size = (self.size + 2 * padding - taps) // stride + 1
        centre = (taps - 1) / 2 - padding
        return Geometry(size, self.stride * stride, self.offset + self.stride * centre)


@dataclass(frozen=True)
class Space:
    """What a stage of the core reads or writes: ``(n, channels, T, size, size)`` on a map of ``geometry``."""

    channels: int
    geometry: Geometry
