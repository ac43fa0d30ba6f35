"""Operations on the movie equal their definitions, frame by frame, and see nothing but their own trial."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.config.transforms import (
    Cast,
    DaCones,
    Diff,
    FftWhitening,
    MaxNorm,
    Mul,
    PixelNorm,
    Smooth,
    StimOp,
    SymLog,
    Unsqueeze,
)
from vctrain.data import stimulus
from vctrain.data.stimulus import StimChain, adaptation_kernels

CONES = DaCones(alpha=0.01, beta=8e-5, gamma=0.5, tau_y_ms=5, tau_z_ms=60, n_y=5, n_z=2, filter_length=12)


def movie(frames: int = 30, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 3, 4), generator=torch.Generator().manual_seed(seed)).float()


def test_cones_equal_the_convolution_written_out() -> None:
    shown = movie().double().numpy()
    time = np.arange(12)

    def gamma(tau_ms: float, n: float) -> np.ndarray:
        tau = tau_ms / 1000 * 240
        return time**n * np.exp(-time / tau) / (tau ** (n + 1) * math.gamma(n + 1))

    fast, slow = gamma(5, 5), gamma(60, 2)
    slow = 0.5 * fast + 0.5 * slow
    expected = np.zeros_like(shown)
    for frame in range(len(shown)):
        past = shown[max(0, frame - 11) : frame + 1][::-1]
        y, z = (np.tensordot(kernel[: len(past)], past, axes=1) for kernel in (fast, slow))
        expected[frame] = 0.01 * y / (1 + 8e-5 * z)
    found = StimChain([CONES]).apply(movie())
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-6)
    assert adaptation_kernels(CONES).shape == (2, 12)


def test_whitening_scales_each_frequency() -> None:
    """A drifting grating comes out at the gain of its own frequency."""
    time, column = np.arange(32)[:, None, None], np.arange(16)[None, None, :]
    shown = np.broadcast_to(np.cos(2 * np.pi * (3 / 32 * time + 2 / 16 * column)), (32, 8, 16))
    radius = math.hypot(3 / 32, 2 / 16)
    found = StimChain([FftWhitening(f_0=0.4, n=4)]).apply(torch.from_numpy(shown.copy()).float())
    np.testing.assert_allclose(found.numpy(), radius * math.exp(-((radius / 0.4) ** 4)) * shown, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_smoothing_reflects_at_the_ends(frames: int) -> None:
    op = Smooth(sigma=1.2)
    shown = movie(frames)
    weights = np.exp(-0.5 * (np.arange(-op.radius, op.radius + 1) / 1.2) ** 2)
    padded = np.pad(shown.numpy(), ((op.radius, op.radius), (0, 0), (0, 0)), mode="reflect" if frames > 1 else "edge")
    expected = sum(w / weights.sum() * padded[i : i + frames] for i, w in enumerate(weights))
    np.testing.assert_allclose(StimChain([op]).apply(shown).numpy(), expected, rtol=1e-5)


def test_simple_operations() -> None:
    shown = movie()
    chain = StimChain([PixelNorm(), Unsqueeze(), Diff(), MaxNorm(), Mul(value=2.0), SymLog(), Cast()], {3: 0.5})
    step = np.diff(shown.double().numpy(), axis=0, prepend=shown[:1].double().numpy()) / 255 / 0.5 * 2
    np.testing.assert_allclose(chain.apply(shown).numpy(), np.sign(step) * np.log1p(np.abs(step)), atol=1e-6)
    assert chain.apply(shown, upto=1).equal((shown - 127) / 255)
    assert chain.fitted_positions == [3]


def test_pointwise_operations_are_a_table_of_grey_levels() -> None:
    chain = StimChain([PixelNorm(), Mul(value=3.0), SymLog()])
    shown = movie()
    assert torch.allclose(chain.levels()[shown.long()], chain.apply(shown), atol=1e-7)


OPS: list[StimOp] = [PixelNorm(), Diff(), Smooth(sigma=0.8), CONES, SymLog(), FftWhitening()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(OPS), min_size=1, max_size=3), st.integers(1, 40), st.integers(1, 9))
def test_pieces_give_what_the_whole_trial_gives(ops: list[StimOp], frames: int, size: int) -> None:
    chain, shown = StimChain(ops), movie(frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stimulus, "PIECE_FRAMES", size)
        pieces = chain.pieces(frames)
        assert chain.whole_trials or all(stop - start <= size for start, stop, _, _ in pieces)
        joined = torch.cat(
            [chain.apply(shown[low:high])[start - low : stop - low] for start, stop, low, high in pieces]
        )
    torch.testing.assert_close(joined, chain.apply(shown), rtol=1e-4, atol=1e-4)
