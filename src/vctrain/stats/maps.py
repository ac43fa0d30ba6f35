"""Where in the stimulus each unit looks: spike-triggered average and energy maps, and their peaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CLEAR = 6.0
"""A peak must stand so many noise units out of its map to count.

Noise is 1.4826 times the median absolute deviation; the maximum of the roughly 10^4 smoothed pixels and lags of a map
without signal stays below about 4.5 of them.
"""

ROUNDING = 1e-4
"""Noise of a map below this fraction of the stimulus's own root mean square (or mean square) is float32 rounding."""


@dataclass
class MapSums:
    """Spike-weighted sums of the stimulus and its square at each lag, for one session; float64 where it matters.

    ``linear`` and ``energy`` ``(lags, U, H*W)``, ``mean`` and ``square`` ``(lags, H*W)`` over the same frames,
    ``spikes`` ``(U,)``, ``frames`` scalar.
    """

    linear: Tensor
    energy: Tensor
    mean: Tensor
    square: Tensor
    spikes: Tensor
    frames: float = 0.0


@dataclass(frozen=True)
class Positions:
    """``center`` ``(U, 2)``: (y, x) in -1..1 over the patch; ``clear`` ``(U,)`` bool; ``peak`` ``(U,)`` in noise
    units."""

    center: Tensor
    clear: Tensor
    peak: Tensor


def accumulate(batches: Iterable[tuple[Tensor, Tensor, Tensor]], lags: int) -> MapSums | None:
    """Sum over ``batches`` of (contrast ``(n, T, H, W)``, spikes ``(n, L, U)``, valid ``(n, L, 1|U)``), oldest frame
    first.

    What spike-triggered averages (Chichilnisky 2001, Network 12, 199) and those of the squared stimulus come from. The
    last ``L`` frames of a clip are the scored ones; lag 0 is the scored frame itself. Needs ``T - L >= lags - 1``.
    Returns None when there was no batch.
    """
    sums: MapSums | None = None
    for contrast, spikes, valid in batches:
        pixels = contrast.shape[2] * contrast.shape[3]
        units = spikes.shape[2]
        if sums is None:
            shape = (lags, units, pixels)
            sums = MapSums(
                torch.zeros(shape),
                torch.zeros(shape),
                torch.zeros(lags, pixels),
                torch.zeros(lags, pixels),
                torch.zeros(units),
            )
        counted = (valid > 0).any(-1, keepdim=True).to(spikes.dtype)
        weights = torch.cat([spikes * (valid > 0), counted], dim=2)
        # The spikes are shifted, not the movie: every lag's weights side by side, then one product with the frames.
        shifted = _at_all_lags(weights, contrast.shape[1], lags)
        flat = contrast.reshape(-1, pixels)
        linear = (shifted @ flat).view(lags, units + 1, pixels)
        energy = (shifted @ flat.square()).view(lags, units + 1, pixels)
        sums.linear += linear[:, :units]
        sums.energy += energy[:, :units]
        sums.mean += linear[:, units]
        sums.square += energy[:, units]
        totals = weights.sum((0, 1))
        sums.spikes += totals[:units]
        sums.frames += float(totals[units])
    return sums


def _at_all_lags(weights: Tensor, frames: int, lags: int) -> Tensor:
    """Weights ``(n, L, K)`` of scored frames as weights of the movie's frames, ``(lags * K, n * T)``."""
    n, scored, columns = weights.shape
    placed = weights.new_zeros(lags, columns, n, frames)
    for lag in range(lags):
        start = frames - scored - lag
        placed[lag, :, :, start : start + scored] = weights.permute(2, 0, 1)
    return placed.view(lags * columns, n * frames)


def _smooth(maps: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Gaussian blur of ``(..., H*W)`` over space, reflecting at the edges."""
    radius = min(max(1, round(2.5 * sigma)), height - 1, width - 1)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).to(maps)
    image = F.pad(maps.reshape(-1, 1, height, width), (radius,) * 4, mode="reflect")
    image = F.conv2d(F.conv2d(image, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    return image.reshape(maps.shape)


def _standardise(maps: Tensor, floor: Tensor) -> Tensor:
    """Each unit's maps ``(lags, U, pixels)`` in robust noise units over all its lags and pixels.

    Noise below ``floor`` is rounding: the energy of a binary checkerboard is constant, and its map holds nothing
    else.
    """
    flat = maps.transpose(0, 1).flatten(1)
    median = flat.median(1, keepdim=True).values
    noise = 1.4826 * (flat - median).abs().median(1, keepdim=True).values
    return ((flat - median) / noise.maximum(floor)).view(maps.shape[1], maps.shape[0], -1).transpose(0, 1)


def find_positions(sums: MapSums, height: int, width: int, *, smooth: float | None = None) -> Positions:
    """The peak of each unit's average or energy map, whichever stands out more.

    Maps are the spike-weighted mean less the plain mean, smoothed by ``smooth`` pixels (a thirty-secondth of the
    patch by default for the average, twice that for the energy), in noise units from the median absolute deviation
    (Hampel 1974). The centre is the centroid of the peak's surroundings. A unit whose peak is below `CLEAR` gets the
    median centre of the clear ones (the middle when none is) and is reported.
    """
    sigma = smooth or max(height, width) / 32
    average, energy, power = differences(sums)
    scores = [
        _standardise(_smooth(average, height, width, sigma), ROUNDING * power.sqrt()).abs(),
        _standardise(_smooth(energy, height, width, 2 * sigma), ROUNDING * power).abs(),
    ]
    stacked = torch.stack(scores)
    units = stacked.shape[2]
    flat = stacked.permute(2, 0, 1, 3).reshape(units, -1)
    peak, _ = flat.max(1)
    # One map a unit: the strongest kind, its best lag.
    per_map = stacked.amax(-1).permute(2, 0, 1).reshape(units, -1).argmax(1)
    kind, lag = per_map // stacked.shape[1], per_map % stacked.shape[1]
    chosen = stacked[kind, lag, torch.arange(units)]
    center = _centroid(chosen, height, width)
    clear = (peak >= CLEAR) & (sums.spikes > 0)
    fallback = center[clear].median(0).values if bool(clear.any()) else torch.zeros(2)
    center = torch.where(clear[:, None], center, fallback[None])
    return Positions(center, clear, peak)


def differences(sums: MapSums) -> tuple[Tensor, Tensor, Tensor]:
    """Spike-weighted less plain mean of the stimulus (Chichilnisky 2001) and of its square ``(lags, U, pixels)``, and
    the mean square, a scalar."""
    spikes = sums.spikes.clamp_min(1.0)[None, :, None]
    frames = max(sums.frames, 1.0)
    average = sums.linear / spikes - (sums.mean / frames)[:, None]
    energy = sums.energy / spikes - (sums.square / frames)[:, None]
    return average, energy, (sums.square / frames).mean()


def time_courses(sums: MapSums, positions: Positions) -> Tensor:
    """How the clear units' spike-triggered averages evolve at their largest pixel, ``(n clear, lags)``, newest lag
    last.

    Averages are those of Chichilnisky (2001). Each course is in the noise units of its own map, so that reliable units
    weigh more where courses are combined.
    """
    average, _, power = differences(sums)
    chosen = _standardise(average, ROUNDING * power.sqrt())[:, positions.clear]
    pixel = chosen.abs().amax(0).argmax(1)
    return chosen[:, torch.arange(chosen.shape[1]), pixel].t().flip(1)


def patches(
    sums: MapSums, positions: Positions, height: int, width: int, side: int, step: tuple[float, float]
) -> Tensor:
    """The spike-triggered averages of the clear units around their centres, ``(n clear, lags, side, side)``, newest
    lag last.

    Averages are those of Chichilnisky (2001), sampled bilinearly every ``step`` (y, x) stimulus pixels, in the noise
    units of each unit's own map.
    """
    average, _, power = differences(sums)
    chosen = _standardise(average, ROUNDING * power.sqrt())[:, positions.clear]
    lags, units = chosen.shape[:2]
    offsets = torch.arange(side) - (side - 1) / 2
    around_y = positions.center[positions.clear, 0, None] + offsets * step[0] * 2 / (height - 1)
    around_x = positions.center[positions.clear, 1, None] + offsets * step[1] * 2 / (width - 1)
    grid = torch.stack([around_x[:, None, :].expand(-1, side, -1), around_y[:, :, None].expand(-1, -1, side)], dim=-1)
    movies = chosen.transpose(0, 1).reshape(units, lags, height, width)
    return F.grid_sample(movies, grid, mode="bilinear", padding_mode="zeros", align_corners=True).flip(1)


def main_components(rows: Tensor, count: int) -> Tensor:
    """The ``count`` orthonormal directions ``(count, D)`` that explain most of ``rows`` ``(n, D)``, largest first.

    Right singular vectors (Eckart and Young 1936), signed so that their largest element is positive; fewer when there
    are fewer rows.
    """
    main = torch.linalg.svd(rows, full_matrices=False).Vh[:count]
    largest = main.gather(1, main.abs().argmax(1, keepdim=True))
    return main * largest.sign()


def _centroid(maps: Tensor, height: int, width: int) -> Tensor:
    """Centre of mass of each map ``(U, H*W)`` above half its peak and within a quarter patch of it; (y, x) in
    -1..1."""
    peak, at = maps.max(1, keepdim=True)
    y = torch.arange(height).repeat_interleave(width).to(maps)
    x = torch.arange(width).repeat(height).to(maps)
    at_y, at_x = y[at], x[at]
    near = (y[None] - at_y).abs().maximum((x[None] - at_x).abs()) <= max(height, width) / 8
    weight = torch.where(near & (maps >= peak / 2), maps, torch.zeros(()).to(maps))
    total = weight.sum(1).clamp_min(1e-12)
    center = torch.stack([(weight * y).sum(1) / total, (weight * x).sum(1) / total], dim=1)
    return center / torch.tensor([(height - 1) / 2, (width - 1) / 2]) - 1
