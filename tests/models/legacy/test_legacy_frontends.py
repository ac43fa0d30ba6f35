"""Frontends of old models against the formulas of the legacy specification (sections 3.2 and 7.7)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vctrain.config.legacy_parts import BasisParams, DynamicAdaptationParams, TemporalParams
from vctrain.errors import UsageError
from vctrain.models.legacy.fixed import DynamicAdaptation, LagBasis, raised_cosines
from vctrain.models.legacy.pyramid import fine_and_coarse
from vctrain.models.legacy.semantics import Code
from vctrain.models.legacy.temporal import HeadTemporal, OldTemporal, antialiased, initial_bank

OLD = Code(head=False, antialias=False, rms_affine=False, temperature=1.0)
MIDDLE = Code(head=False, antialias=True, rms_affine=False, temperature=1.0)


@pytest.mark.parametrize("taps", [5, 6, 16])
def test_antialiased_kernel(taps: int) -> None:
    kernel = np.random.default_rng(taps).normal(size=taps)
    n = np.arange(taps)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / (taps - 1))
    length = 2 ** math.ceil(math.log2(2 * taps))
    spectrum = np.fft.rfft(np.pad(kernel * window, (0, length - taps)))
    for i in range(len(spectrum)):
        f = i / length
        spectrum[i] *= 1.0 if f <= 0.45 else 0.0 if f >= 0.5 else 0.5 * (1 + math.cos(math.pi * (f - 0.45) / 0.05))
    expected = np.fft.irfft(spectrum, length)[:taps] * window
    found = antialiased(torch.from_numpy(kernel))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_old_kernels_are_shared_by_input_channels_and_valid_over_lags() -> None:
    frontend = OldTemporal(TemporalParams(kernel_size=4, num_channels=3, bias=True), 2, OLD)
    x = torch.randn(2, 2, 7, 3, 3)
    y = frontend(x)
    assert y.shape == (2, 6, 4, 3, 3)
    weight, bias = frontend.temporal_conv.weight, frontend.temporal_conv.bias
    assert bias is not None
    for channel in range(2):
        for kernel in range(3):
            expected = sum(weight[kernel, 0, i] * x[:, channel, i : i + 4] for i in range(4)) + bias[kernel]
            torch.testing.assert_close(y[:, channel * 3 + kernel], expected)


@pytest.mark.parametrize(
    ("code", "said", "used"),
    [(OLD, None, False), (MIDDLE, None, True), (MIDDLE, False, False), (OLD, True, True)],
)
def test_antialiasing_is_a_default_of_one_generation(code: Code, said: bool | None, used: bool) -> None:
    frontend = OldTemporal(TemporalParams(kernel_size=6, anti_aliasing=said), 1, code)
    weight = frontend.temporal_conv.weight
    expected = antialiased(weight) if used else weight
    torch.testing.assert_close(frontend.kernel()[..., 0, 0], expected)


def test_head_kernels_are_tapered() -> None:
    params = TemporalParams(kernel_size=5, num_channels=2, aa_signal=True, aa_window_kwargs={"power": 0.25})
    frontend = HeadTemporal(params, 1)
    (raw,) = frontend.parameters()
    window = (torch.tensor([0.0, 0.5, 1.0, 0.5, 0.0])) ** 0.25
    x = torch.randn(1, 1, 9, 2, 2)
    expected = F.conv3d(x, raw * window.view(1, 1, 5, 1, 1))
    torch.testing.assert_close(frontend(x), expected)
    assert [name for name, _ in frontend.named_parameters()] == ["temporal_conv.conv.parametrizations.weight.original"]


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 12), (13, 10)])
def test_split_into_fine_and_coarse(height: int, width: int) -> None:
    """One level of the pyramid by explicit sums: blur, keep every second pixel, spread, blur."""
    x = torch.randn(1, 1, 2, height, width, dtype=torch.float64)
    taps = np.array([1, 4, 6, 4, 1]) / 16 * math.sqrt(2)
    fine, coarse = fine_and_coarse(x)[0]
    for frame in range(2):
        image = x[0, 0, frame].numpy()
        padded = np.pad(image, 2, mode="reflect")
        blurred = np.zeros_like(image)
        for i in range(height):
            for j in range(width):
                blurred[i, j] = (padded[i : i + 5, j : j + 5] * np.outer(taps, taps)).sum()
        small = np.pad(blurred[::2, ::2], 1, mode="reflect")
        spread = np.zeros((2 * small.shape[0] - 1 + (1 - height % 2), 2 * small.shape[1] - 1 + (1 - width % 2)))
        spread[: 2 * small.shape[0] - 1 : 2, : 2 * small.shape[1] - 1 : 2] = small
        expected = np.zeros_like(image)
        for i in range(height):
            for j in range(width):
                expected[i, j] = (spread[i : i + 5, j : j + 5] * np.outer(taps, taps)).sum()
        np.testing.assert_allclose(coarse[frame].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(fine + coarse, x[0, 0])


def test_split_gives_half_of_the_kernels_to_each_part() -> None:
    frontend = HeadTemporal(TemporalParams(kernel_size=3, num_channels=4, split_MP=True), 1)
    weight = frontend.get_parameter("temporal_conv.conv.weight")
    assert weight.shape == (4, 1, 3, 1, 1)
    x = torch.randn(1, 1, 5, 9, 9)
    parts = fine_and_coarse(x)
    y = frontend(x)
    for kernel in range(4):
        part = parts[:, kernel // 2]
        expected = sum(weight[kernel, 0, i, 0, 0] * part[:, i : i + 3] for i in range(3))
        torch.testing.assert_close(y[:, kernel], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="split_MP"):
        HeadTemporal(TemporalParams(num_channels=3, split_MP=True), 1)
    with pytest.raises(UsageError, match="2 channels"):
        HeadTemporal(TemporalParams(), 2)


def test_first_shapes() -> None:
    bank = initial_bank("gaussian_derivatives", 4, 9)
    assert bank is not None
    torch.testing.assert_close(bank.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(bank[0], bank[0].flip(0))
    torch.testing.assert_close(bank[1], -bank[1].flip(0))
    identity = initial_bank("identity", 4, 3)
    assert identity is not None
    assert identity.argmax(1).tolist() == [0, 1, 2, 2]
    assert initial_bank("random", 4, 3) is None
    biphasic = initial_bank("biphasic", 2, 16)
    assert biphasic is not None
    t = np.arange(16) / 120
    shape = t * np.exp(-t / 0.008) / 0.008**2 - 0.9 * t * np.exp(-t / 0.022) / 0.022**2
    shape = shape - shape.mean()
    np.testing.assert_allclose(biphasic.numpy(), np.stack([shape / shape[shape > 0].sum()] * 2), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("learns", [False, True])
def test_dynamical_adaptation(learns: bool) -> None:
    params = DynamicAdaptationParams(
        alpha=0.7, beta=0.4, gamma=0.3, n_y=2.0, n_z=1.5, filter_length=6, learnable_params=learns
    )
    frontend = DynamicAdaptation(params, 1, sampling_rate=240)
    x = torch.randn(1, 1, 9, 1, 1, dtype=torch.float64).float()
    t = np.arange(6)

    def kernel(tau_ms: float, order: float) -> np.ndarray:
        tau = max(tau_ms / 1000 * 240, 0.1)
        return t**order * np.exp(-t / tau) / (tau ** (order + 1) * math.gamma(order + 1))

    fast = kernel(5.0, 2.0)
    mixed = 0.3 * fast + 0.7 * kernel(60.0, 1.5)
    movie = x[0, 0, :, 0, 0].numpy()
    y = [sum(fast[j] * movie[s - j] for j in range(6) if j <= s) for s in range(9)]
    z = [sum(mixed[j] * movie[s - j] for j in range(6) if j <= s) for s in range(9)]
    expected = [0.7 * a / max(1 + 0.4 * b, 1e-6) for a, b in zip(y, z, strict=True)]
    found = frontend(x)
    np.testing.assert_allclose(found[0, 0, :, 0, 0].detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    names = set(frontend.state_dict())
    if learns:
        assert names == {"alpha", "beta", "gamma", "tau_y_ms", "n_y", "tau_z_ms", "n_z"}
        found.sum().backward()
        assert all(p.grad is not None for p in frontend.parameters())
    else:
        assert names == {"alpha", "beta", "Ky_filter", "Kz_filter"}
        np.testing.assert_allclose(frontend.Ky_filter[0, 0].numpy(), fast[::-1], rtol=1e-5, atol=1e-7)
        assert not any(p.requires_grad for p in frontend.parameters())


def _basis_by_loops(p: BasisParams) -> np.ndarray:
    length = int(p.history_bins)
    rows = [np.eye(length)[i] for i in range(p.num_delta_funcs)]
    first, last = p.peak_range_ms
    for i in range(p.num_cosine_funcs):
        row = np.zeros(length)
        for b in range(length):
            t = b * p.bin_size_ms
            if p.log_spacing:
                centres = np.linspace(math.log(first), math.log(last), p.num_cosine_funcs)
                angle = (math.log(t + 1e-6) - centres[i]) * math.pi / (2 * (centres[1] - centres[0]))
            else:
                centres = np.linspace(first, last, p.num_cosine_funcs)
                angle = (t - centres[i]) * math.pi / (2 * (centres[1] - centres[0]))
            row[b] = (math.cos(angle) + 1) / 2 if abs(angle) <= math.pi else 0.0
        rows.append(row)
    basis = np.concatenate([np.zeros((len(rows), 1)), np.stack(rows)], axis=1)
    return basis / np.linalg.norm(basis, axis=1, keepdims=True)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("log_spacing", [True, False])
def test_lag_basis(causal: bool, log_spacing: bool) -> None:
    params = BasisParams(
        num_delta_funcs=1,
        num_cosine_funcs=3,
        history_bins=7,
        log_spacing=log_spacing,
        peak_range_ms=(5.0, 25.0),
        causal=causal,
        chomp=2,
    )
    basis = _basis_by_loops(params)
    np.testing.assert_allclose(raised_cosines(params).numpy(), basis, rtol=1e-4, atol=1e-6)
    frontend = LagBasis(params, 2)
    x = torch.randn(1, 2, 10, 1, 1)
    found = frontend(x)
    assert found.shape == (1, 8, 8, 1, 1)
    assert frontend.state_dict() == {}
    left = (7 + 1) // 2
    for c in range(2):
        movie = x[0, c, :, 0, 0].numpy()
        for b in range(4):
            for t in range(2, 10):
                places = [(t - i if causal else t - left + i, basis[b, i]) for i in range(8)]
                expected = sum(weight * movie[s] for s, weight in places if 0 <= s < 10)
                assert float(found[0, c * 4 + b, t - 2, 0, 0]) == pytest.approx(expected, abs=1e-5)


def test_batch_norm_of_the_basis_is_by_function() -> None:
    params = BasisParams(num_cosine_funcs=2, history_bins=4, log_spacing=False, peak_range_ms=(5, 15), batch_norm=True)
    frontend, x = LagBasis(params, 2), torch.randn(3, 2, 5, 2, 2)
    y = frontend(x).detach()
    for b in range(2):
        values = y[:, [b, 2 + b]]
        assert float(values.mean()) == pytest.approx(0, abs=1e-5)
        assert float(values.std(unbiased=False)) == pytest.approx(1, abs=1e-3)
    assert set(frontend.state_dict()) == {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"} | {
        "bn.num_batches_tracked"
    }
