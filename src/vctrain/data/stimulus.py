"""What do the operations of a dataset config make of the movie, trial by trial?

Movies are (n, H, W) float32 tensors of consecutive frames of one trial, oldest first. As with behaviour, a trial is a
recording of its own: nothing before or after it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from vctrain.config.transforms import (
    POINTWISE,
    DaCones,
    Diff,
    FftWhitening,
    MaxNorm,
    PixelNorm,
    PointwiseOp,
    Smooth,
    StimOp,
    Unsqueeze,
)
from vctrain.data.pointwise import pointwise
from vctrain.data.signals import gaussian_weights

GREY_LEVELS = 256
PIECE_FRAMES = 1024
"""Frames computed at once where the operations allow it, so that memory does not grow with the length of a trial."""


class StimChain:
    """The operations on the movie, in order; `maxima` holds the fitted maximum of each maxnorm by its position."""

    def __init__(self, ops: Sequence[StimOp], maxima: Mapping[int, float] | None = None) -> None:
        self.ops = tuple(ops)
        self.maxima = dict(maxima or {})

    @property
    def fitted_positions(self) -> list[int]:
        """Where a maximum is needed."""
        return [position for position, op in enumerate(self.ops) if isinstance(op, MaxNorm)]

    @property
    def whole_trials(self) -> bool:
        """Whether a frame depends on its whole trial."""
        return any(isinstance(op, FftWhitening) for op in self.ops)

    @property
    def halo(self) -> tuple[int, int]:
        """Frames before and after a frame that it depends on, where it does not depend on the whole trial."""
        halos = [_halo(op) for op in self.ops]
        return sum(left for left, _ in halos), sum(right for _, right in halos)

    def apply(self, movie: torch.Tensor, upto: int | None = None) -> torch.Tensor:
        """(n, H, W) float32 to (n, H, W) float32; `upto` stops before the operation at that position."""
        for position, op in enumerate(self.ops[:upto]):
            movie = _apply(op, movie, self.maxima.get(position, 1.0))
        return movie

    def levels(self) -> torch.Tensor:
        """(256,) float32: the value of each grey level, where every operation is pointwise."""
        assert all(isinstance(op, POINTWISE) for op in self.ops)
        return self.apply(torch.arange(GREY_LEVELS, dtype=torch.float32)[:, None, None]).flatten()

    def pieces(self, n_frames: int) -> list[tuple[int, int, int, int]]:
        """(start, stop, from, to) of every piece of a trial: frames [start, stop) are computed from [from, to)."""
        size = n_frames if self.whole_trials else PIECE_FRAMES
        left, right = self.halo
        return [
            (start, min(start + size, n_frames), max(start - left, 0), min(start + size + right, n_frames))
            for start in range(0, n_frames, size)
        ]


def adaptation_kernels(op: DaCones) -> torch.Tensor:
    """The impulse responses of y and z, (2, filter_length) float32, newest lag first: gamma functions
    ``t^n exp(-t/tau) / (tau^(n+1) Gamma(n+1))`` over whole samples t, z a mixture with y (Clark et al. 2013)."""
    time = torch.arange(op.filter_length, dtype=torch.float64)

    def gamma(tau_ms: float, n: float) -> torch.Tensor:
        tau = max(tau_ms / 1000 * op.sampling_rate, 0.1)
        norm = max(tau ** (n + 1) * math.exp(math.lgamma(n + 1)), 1e-9)
        return time**n * torch.exp(-time / tau) / norm

    fast = gamma(op.tau_y_ms, op.n_y)
    return torch.stack([fast, op.gamma * fast + (1 - op.gamma) * gamma(op.tau_z_ms, op.n_z)]).float()


def _halo(op: StimOp) -> tuple[int, int]:
    if isinstance(op, Diff):
        return 1, 0
    if isinstance(op, DaCones):
        return op.filter_length - 1, 0
    if isinstance(op, Smooth):
        return op.radius, op.radius
    return 0, 0


def _apply(op: StimOp, movie: torch.Tensor, maximum: float) -> torch.Tensor:
    if isinstance(op, PixelNorm):
        return (movie - 127) / 255
    if isinstance(op, Unsqueeze):
        return movie
    if isinstance(op, Diff):
        return torch.cat([torch.zeros_like(movie[:1]), movie[1:] - movie[:-1]])
    if isinstance(op, MaxNorm):
        return movie / maximum
    if isinstance(op, PointwiseOp):
        return pointwise(op, movie)
    if isinstance(op, DaCones):
        return _adapted(op, movie)
    if isinstance(op, Smooth):
        return _smoothed(op, movie)
    return _whitened(op, movie)


def _adapted(op: DaCones, movie: torch.Tensor) -> torch.Tensor:
    rows = _as_rows(movie)
    kernels = adaptation_kernels(op).flip(1)[:, None]
    filtered = functional.conv1d(functional.pad(rows, (op.filter_length - 1, 0)), kernels)
    response = op.alpha * filtered[:, 0] / (1 + max(op.beta, 0.0) * filtered[:, 1]).clamp_min(1e-6)
    return response.T.reshape(movie.shape)


def _smoothed(op: Smooth, movie: torch.Tensor) -> torch.Tensor:
    if op.radius == 0:
        return movie
    # Reflected at the ends of a trial; index by index, for a trial may be shorter than the kernel.
    n = len(movie)
    reached = torch.arange(-op.radius, n + op.radius)
    period = max(2 * (n - 1), 1)
    folded = torch.remainder(reached, period)
    folded = torch.where(folded > n - 1, period - folded, folded)
    rows = _as_rows(movie[folded])
    smoothed = functional.conv1d(rows, gaussian_weights(op)[None, None])
    return smoothed[:, 0].T.reshape(movie.shape)


def _whitened(op: FftWhitening, movie: torch.Tensor) -> torch.Tensor:
    axes = [torch.fft.fftfreq(size) for size in movie.shape]
    radius = torch.sqrt(sum(f.square() for f in torch.meshgrid(*axes, indexing="ij")))  # type: ignore[arg-type]
    gain = radius * torch.exp(-((radius / op.f_0) ** op.n))
    whitened: torch.Tensor = torch.fft.ifftn(torch.fft.fftn(movie) * gain).real
    return whitened


def _as_rows(movie: torch.Tensor) -> torch.Tensor:
    """(n, H, W) to (H*W, 1, n)."""
    return movie.reshape(len(movie), -1).T[:, None]
