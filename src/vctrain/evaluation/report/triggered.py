"""What frames go before a spike, and before a predicted one? Spike-triggered averages of data and twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.evaluation.passes import Predicted
from vctrain.stats.maps import MapSums, accumulate
from vctrain.stats.triggered import similarity

NOISE = ("gaborium", "checkerboard", "noise", "flicker")
"""A type of stimulus whose name has one of these in it is noise: its frames do not follow from those before."""
LAG_SECONDS = 0.12
MOST_LAGS = 32
LEAST_SPIKES = 20
"""A unit with fewer spikes has no average."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Triggered:
    """Averages ``(lags, K, H, W)`` of the contrast, less its mean over the same frames; lag 0 is the spike's own
    frame.

    Those of the data weigh frames by the counts, those of the twin by the predicted rates, on the same frames.
    """

    kinds: tuple[str, ...]
    data: Array
    twin: Array
    frames: int
    spikes: Array
    """(K,)."""

    def agreement(self) -> Array:
        """Pearson's correlation of the two averages over all lags and pixels, ``(K,)``; NaN below 20 spikes."""
        data, twin = (maps.reshape(*maps.shape[:2], -1) for maps in (self.data, self.twin))
        return np.where(self.spikes >= LEAST_SPIKES, similarity(data, twin), np.nan)


def is_noise(kind: str) -> bool:
    """Whether a type of stimulus is noise.

    >>> is_noise("gaborium"), is_noise("backimage")
    (True, False)
    """
    return any(name in kind.lower() for name in NOISE)


def lags_of(context: int, rate_hz: float) -> int:
    """How many frames of the past are averaged: 120 ms, no more than twins are given.

    >>> lags_of(15, 120.0), lags_of(4, 120.0)
    (14, 5)
    """
    return min(max(round(LAG_SECONDS * rate_hz), 6), context + 1, MOST_LAGS)


class TriggeredReader:
    """Adds up the frames before spikes of noise stimuli; memory does not grow with frames."""

    def __init__(self, session: Session, context: int, reads_stimulus: bool) -> None:
        self.kinds = tuple(kind for kind in session.types if is_noise(kind)) if reads_stimulus else ()
        self.size = session.height, session.width
        self.lags = lags_of(context, session.rate_hz)
        self.sums: MapSums | None = None

    def wants(self, start: int, stop: int, kind: str) -> bool:
        """Whether a clip is of noise."""
        return kind in self.kinds

    def add(self, clips: Predicted) -> None:
        """Add the clips of noise."""
        mine = [row for row, kind in enumerate(clips.kinds) if kind in self.kinds]
        if not mine or (contrast := clips.contrast) is None:
            return
        weights, valid = clips.weights()
        added = accumulate([(contrast[mine], weights[mine], valid[mine].float())], self.lags)
        assert added is not None
        if self.sums is None:
            self.sums = _in_double(added)
            return
        for name in ("linear", "energy", "mean", "square", "spikes"):
            getattr(self.sums, name).add_(getattr(added, name))
        self.sums.frames += added.frames

    def result(self) -> Triggered | None:
        """The averages; None without a frame of noise."""
        if self.sums is None or self.sums.frames == 0:
            return None
        weight = self.sums.spikes.clamp_min(1e-12)[None, :, None]
        average = self.sums.linear / weight - (self.sums.mean / self.sums.frames)[:, None]
        maps = average.numpy().reshape(self.lags, -1, *self.size)
        units = maps.shape[1] // 2
        spikes = self.sums.spikes[:units].numpy()
        return Triggered(self.kinds, maps[:, :units], maps[:, units:], int(self.sums.frames), spikes)


def _in_double(sums: MapSums) -> MapSums:
    linear, energy, mean, square, spikes = (
        part.double() for part in (sums.linear, sums.energy, sums.mean, sums.square, sums.spikes)
    )
    return MapSums(linear, energy, mean, square, spikes, sums.frames)
