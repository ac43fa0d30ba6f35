"""How does a covariate become behaviour, window by window, as if each trial were a recording of its own?

Windows are (n, W, C) float32 tensors of consecutive frames, reaching `left` and `right` frames beyond what is wanted;
`outside` (n, W) says which frames do not belong to the window's trial. Nothing outside a trial is ever read.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from vctrain.config.plan import Signal
from vctrain.config.transforms import (
    LEAST_LOG_PEAK_MS,
    Diff,
    MaxNorm,
    PointwiseOp,
    SelectUnits,
    SignalOp,
    Smooth,
    SplitRelu,
    TemporalBasis,
)
from vctrain.data.intervals import Ints
from vctrain.data.pointwise import pointwise


@dataclass(frozen=True)
class Window:
    """Consecutive frames of one covariate, n times, and where the trial of each begins and ends in them."""

    values: torch.Tensor
    """(n, W, C) float32; 0 outside the trial."""
    outside: torch.Tensor | None
    """(n, W) bool: frames that are not of the window's trial; None: all are."""
    starts: Ints
    """(n,) the frame at which each window begins."""
    lows: Ints
    highs: Ints
    """(n,) first frame of its trial, and the first after it; may lie outside the window."""

    def within(self, values: torch.Tensor) -> torch.Tensor:
        """`values` (n, W, C), 0 outside the trial."""
        return values if self.outside is None else values.masked_fill(self.outside[..., None], 0)


class Pipeline:
    """The operations of one behaviour signal, with what they need around a frame and the maxima they were fitted."""

    def __init__(self, signal: Signal, channels: int, cids: Sequence[int] = ()) -> None:
        self.source = signal.source
        self.ops = signal.ops
        self.cids = tuple(cids)
        """The columns that ``select_units: {indices: cids}`` takes."""
        self.maxima: dict[int, float] = {}
        """Fitted maximum of each maxnorm, by its position among the operations."""
        halos = [_halo(op) for op in signal.ops]
        self.left = sum(left for left, _ in halos)
        self.right = sum(right for _, right in halos)
        self.dim = channels
        for op in signal.ops:
            self.dim = columns_after(op, self.dim, self.cids)

    def halo_before(self, position: int) -> tuple[int, int]:
        """Frames that the operations before `position` need on either side."""
        halos = [_halo(op) for op in self.ops[:position]]
        return sum(left for left, _ in halos), sum(right for _, right in halos)

    def apply(self, window: Window, upto: int | None = None) -> torch.Tensor:
        """The columns (n, W, dim) of the whole window; right except within the halo at its ends; 0 outside the trial.

        `upto` stops before the operation at that position.
        """
        values = window.values
        for position, op in enumerate(self.ops[:upto]):
            columns = list(op.selected(self.cids)) if isinstance(op, SelectUnits) else []
            values = _apply(op, values, window, self.maxima.get(position, 1.0), columns)
        return window.within(torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))


@functools.cache
def basis_matrix(op: TemporalBasis) -> torch.Tensor:
    """The bank of `op`, (n_basis, history_bins + 1) float32: delta functions, then raised cosines, then one zero column
    in front, rows normalised to length 1 (Pillow et al. 2008, in the legacy system's parametrisation)."""
    length = max(1, op.history_bins)
    rows = np.zeros((op.num_delta_funcs + op.num_cosine_funcs, length))
    for row in range(min(op.num_delta_funcs, length)):
        rows[row, row] = 1.0
    if op.num_cosine_funcs:
        rows[op.num_delta_funcs :] = _raised_cosines(op, length)
    bank = np.concatenate([np.zeros((len(rows), 1)), rows], axis=1)
    if op.normalize:
        norms = np.linalg.norm(bank, axis=1, keepdims=True)
        bank = bank / np.where(norms > 0, norms, 1.0)
    return torch.from_numpy(bank.astype(np.float32))


def _raised_cosines(op: TemporalBasis, length: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    times = np.arange(length) * op.bin_size_ms
    first, last = op.peak_range_ms
    if op.log_spacing:
        first, last = (math.log(max(LEAST_LOG_PEAK_MS, peak)) for peak in op.peak_range_ms)
        times = np.log(times + 1e-6)
    if op.num_cosine_funcs == 1:
        centres, width = np.array([(first + last) / 2]), last - first
    else:
        centres = np.linspace(first, last, op.num_cosine_funcs)
        width = 2 * (centres[1] - centres[0])
    phase = (times[None, :] - centres[:, None]) * math.pi / width
    bumps: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.where(
        np.abs(phase) > math.pi, 0.0, (np.cos(phase) + 1) / 2
    )
    return bumps


def _halo(op: SignalOp) -> tuple[int, int]:
    if isinstance(op, Diff):
        return 1, 0
    if isinstance(op, TemporalBasis):
        length = max(1, op.history_bins)
        return (length, 0) if op.causal else ((length + 1) // 2, length - (length + 1) // 2)
    if isinstance(op, Smooth):
        return op.radius, op.radius
    return 0, 0


def columns_after(op: SignalOp, columns: int, cids: tuple[int, ...]) -> int:
    """The columns that `op` makes of `columns`, in a session with the units `cids`."""
    if isinstance(op, SelectUnits):
        return len(op.selected(cids))
    if isinstance(op, TemporalBasis):
        return columns * (op.num_delta_funcs + op.num_cosine_funcs)
    return 2 * columns if isinstance(op, SplitRelu) else columns


def gaussian_weights(op: Smooth) -> torch.Tensor:
    """The kernel of `op`, (2 radius + 1,) float32, which sums to 1."""
    offset = torch.arange(-op.radius, op.radius + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * (offset / op.sigma) ** 2)
    return (weight / weight.sum()).float()


def _apply(op: SignalOp, values: torch.Tensor, window: Window, maximum: float, columns: list[int]) -> torch.Tensor:
    if isinstance(op, Diff):
        step = torch.zeros_like(values)
        torch.sub(values[:, 1:], values[:, :-1], out=step[:, 1:])
        if window.outside is not None:
            step[:, 1:].masked_fill_((window.outside[:, 1:] | window.outside[:, :-1])[..., None], 0)
        return torch.nan_to_num(step, nan=0.0, posinf=0.0, neginf=0.0)
    if isinstance(op, SelectUnits):
        return values[..., columns]
    if isinstance(op, MaxNorm):
        return values / maximum
    if isinstance(op, PointwiseOp):
        return pointwise(op, values)
    if isinstance(op, SplitRelu):
        return torch.cat([torch.relu(values), torch.relu(-values)], dim=2)
    finite = window.within(torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))
    if isinstance(op, TemporalBasis):
        return _filtered(op, finite)
    return _smoothed(op, finite, window)


def _filtered(op: TemporalBasis, values: torch.Tensor) -> torch.Tensor:
    n, width, channels = values.shape
    bank = basis_matrix(op)
    kernel = (bank.flip(1) if op.causal else bank)[:, None, :]
    rows = values.transpose(1, 2).reshape(n * channels, 1, width)
    out = functional.conv1d(functional.pad(rows, _halo(op)), kernel)
    return out.reshape(n, channels * len(bank), width).transpose(1, 2)


def _smoothed(op: Smooth, values: torch.Tensor, window: Window) -> torch.Tensor:
    radius = op.radius
    if radius == 0:
        return values
    n, width, channels = values.shape
    offset = torch.arange(-radius, radius + 1)
    reached = torch.arange(width)[:, None] + offset[None, :]
    first = torch.from_numpy(window.lows - window.starts)[:, None, None]
    span = torch.from_numpy(window.highs - 1 - window.lows)[:, None, None]
    period = (2 * span).clamp(min=1)
    folded = torch.remainder(reached[None] - first, period)
    folded = torch.where(folded > span, period - folded, folded).clamp(min=0)
    index = (first + folded).clamp(0, width - 1).reshape(n, -1, 1).expand(-1, -1, channels)
    around = torch.gather(values, 1, index).reshape(n, width, 2 * radius + 1, channels)
    return torch.einsum("nwkc,k->nwc", around, gaussian_weights(op))


def behavior_of(pipelines: Sequence[Pipeline], windows: dict[str, Window], left: int, length: int) -> torch.Tensor:
    """The behaviour (n, length, D) of the frames that begin `left` frames into the windows."""
    columns = [pipeline.apply(windows[pipeline.source])[:, left : left + length] for pipeline in pipelines]
    return torch.cat(columns, dim=2) if len(columns) > 1 else columns[0].contiguous()
