"""Each pool is its formula, frame by frame, on windows that stand where its geometry says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from models.made_blocks import POOLS, assert_learns, assert_streams
from pydantic import TypeAdapter

from vctrain.config.components.pools import Pool
from vctrain.errors import UsageError
from vctrain.models.geometry import Geometry, Space
from vctrain.models.pooling import Gate, Pooling, binomial_blur, build_pool, soft_pool


def pool(settings: Any, channels: int = 4, size: int = 9) -> Pooling:
    return build_pool(TypeAdapter(Pool).validate_python(settings), Space(channels, Geometry(size)))


@pytest.mark.parametrize("settings", POOLS)
def test_pools_stream_learn_and_write_what_they_say(settings):
    built = pool(settings)
    x = torch.randn(2, 4, 4, 9, 9)
    assert_streams(built, x, 0)
    if list(built.parameters()):
        assert_learns(built, x)
    for y in (built(x), built.average(x)):
        assert y.shape == (2, 4, 4, built.out.size, built.out.size)


def windows(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """``(rows, columns, n, C, T, kernel * kernel)``."""
    count = (x.shape[3] - kernel) // stride + 1
    at = [stride * i for i in range(count)]
    return np.stack(
        [np.stack([x[..., i : i + kernel, j : j + kernel].reshape(*x.shape[:3], -1) for j in at]) for i in at]
    )


@examples(max_examples=20, deadline=None)
@given(st.sampled_from(["max", "avg"]), st.integers(1, 4), st.none() | st.integers(1, 3), st.integers(5, 9))
def test_windows_are_pooled_one_by_one(kind, kernel, stride, size):
    built = pool({"type": kind, "kernel": kernel, "stride": stride}, size=size)
    x = torch.randn(2, 4, 3, size, size)
    seen = windows(x.numpy(), kernel, stride or kernel)
    expected = np.moveaxis(seen.max(-1) if kind == "max" else seen.mean(-1), (0, 1), (-2, -1))
    assert np.allclose(built(x).numpy(), expected, atol=1e-6)
    assert built.out == Geometry(size).after(kernel, stride or kernel, 0)


def test_adaptive_windows_cover_the_map():
    x = torch.randn(1, 2, 2, 8, 8)
    assert torch.allclose(
        pool({"type": "adaptiveavg", "size": 4}, 2, 8)(x), torch.nn.functional.avg_pool3d(x, (1, 2, 2))
    )
    assert torch.allclose(pool({"type": "adaptivemax", "size": 1}, 2, 8)(x), x.amax((3, 4), keepdim=True))
    assert pool({"type": "adaptiveavg", "size": 4}, 2, 8).out == Geometry(4, 2.0, 0.5)
    with pytest.raises(UsageError, match="size 9 has only 8 pixels"):
        pool({"type": "adaptiveavg", "size": 9}, 2, 8)


def test_the_blur_is_binomial_centred_and_keeps_the_mean_grey_of_borders():
    x = torch.randn(2, 3, 2, 7, 6)
    padded = np.pad(x.numpy(), [(0, 0)] * 3 + [(1, 1)] * 2, mode="edge")
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    expected = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4
    assert np.allclose(binomial_blur(x).numpy(), expected, atol=1e-6)
    assert torch.allclose(binomial_blur(torch.ones(1, 1, 1, 5, 5)), torch.ones(1, 1, 1, 5, 5))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_soft_pooling_weighs_a_window_by_its_softmax(temperature):
    x = torch.randn(2, 3, 2, 7, 7) * 3
    seen = windows(x.double().numpy(), 2, 2)
    weights = np.exp(seen / temperature)
    expected = np.moveaxis((seen * weights).sum(-1) / weights.sum(-1), (0, 1), (-2, -1))
    assert np.allclose(soft_pool(x, 2, temperature).numpy(), expected, atol=1e-5)


def test_soft_pooling_does_not_overflow():
    """The exponentials of legacy soft pooling did beyond 88."""
    x = torch.tensor([1000.0, 999.0, -1000.0, 0.0]).view(1, 1, 1, 2, 2).requires_grad_()
    y = soft_pool(x, 2, 1.0)
    y.sum().backward()
    assert float(y.detach()) == pytest.approx(1000 - 1 / (1 + np.e), abs=1e-3)
    assert bool(x.grad.isfinite().all())
    assert float(soft_pool(x.detach(), 2, 1e6)) == pytest.approx(float(x.mean()), abs=1.0)


def test_the_gate_is_squeeze_and_excitation_of_each_frame():
    gate, x = Gate(4, 2), torch.randn(2, 4, 3, 5, 5)
    for clip in range(2):
        for frame in range(3):
            mean = x[clip, :, frame].mean((1, 2))
            hidden = torch.nn.functional.silu(gate.squeeze.weight @ mean + gate.squeeze.bias)
            gains = torch.sigmoid(gate.excite.weight @ hidden + gate.excite.bias)
            assert torch.allclose(gate(x)[clip, :, frame], x[clip, :, frame] * gains[:, None, None], atol=1e-6)


def test_blur_pooling_is_blur_soft_pooling_gate():
    x = torch.randn(1, 4, 2, 9, 9)
    built = pool({"type": "aablur", "stride": 2, "reduction": 2, "temperature": 2.0})
    assert torch.allclose(built(x), built.gate(soft_pool(binomial_blur(x), 2, 2.0)))
    plain = pool({"type": "aablur", "stride": 2, "soft": False})
    assert torch.allclose(plain(x), plain.gate(torch.nn.functional.avg_pool3d(binomial_blur(x), (1, 2, 2))), atol=1e-6)
    still = pool({"type": "aablur", "stride": 1})
    assert still.out == Geometry(9)
    assert torch.allclose(still(x), still.gate(binomial_blur(x)))


@pytest.mark.parametrize(
    "settings", ["avg", "learned", {"type": "aablur"}, {"type": "aablur", "stride": 3, "soft": False}]
)
def test_an_impulse_lands_where_the_geometry_says(settings):
    """The gradient of a central output pixel is centred on its grid position."""
    built = pool(settings, channels=1, size=15)
    if settings == "learned":
        built.kernel.set_effective(torch.ones_like(built.kernel.raw))
    built.gate = torch.nn.Identity()  # a gate sees the whole map
    x = torch.zeros(1, 1, 1, 15, 15, requires_grad=True)
    at = built.out.size // 2
    built(x + 1)[0, 0, 0, at, at].backward()
    weight = x.grad[0, 0, 0].sum(1)
    centre = float((weight * torch.arange(15)).sum() / weight.sum())
    assert centre == pytest.approx(built.out.stride * at + built.out.offset, abs=1e-3)
