"""Frontends against direct formulas; each streams, and each initialisation is really in effect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from models.made_blocks import assert_learns, assert_streams, nudged
from models.made_components import FRONTENDS
from pydantic import TypeAdapter

from vctrain.config.components.frontends import Frontend, LearnableTemporal
from vctrain.config.transforms import DaCones
from vctrain.config.transforms import TemporalBasis as BasisOfCovariates
from vctrain.data.signals import basis_matrix
from vctrain.data.stimulus import adaptation_kernels
from vctrain.errors import UsageError
from vctrain.models.components import build
from vctrain.models.frontend import biphasic, coarse, delays, gaussian_derivatives
from vctrain.models.geometry import Geometry, Space

SIDE = 9
IN = Space(1, Geometry(SIDE))
NAMES = [name for name in FRONTENDS if name != "none"]


def frontend(settings: Any, space: Space = IN) -> torch.nn.Module:
    return build(TypeAdapter(Frontend).validate_python(settings), space)


def bank(**settings: Any) -> torch.nn.Module:
    return frontend({"type": "learnable_temporal", **settings})


@pytest.mark.parametrize("name", NAMES)
def test_frontends_stream_learn_and_write_what_they_say(name):
    torch.manual_seed(0)
    built = nudged(frontend(FRONTENDS[name]))
    config = TypeAdapter(Frontend).validate_python(FRONTENDS[name])
    assert built.history == config.history
    x = torch.rand(2, 1, config.history + 4, SIDE, SIDE) - 0.5
    assert_streams(built, x, config.history)
    if list(built.parameters()):
        assert_learns(built, x)
    out = built(x)
    assert out.shape == (2, built.out.channels, 4, built.out.geometry.size, built.out.geometry.size)


@examples(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 5), st.booleans())
def test_the_temporal_bank_is_a_valid_correlation_over_time(taps, channels, more, bias):
    built = bank(kernel_size=taps, num_channels=channels, init="random", bias=bias)
    if bias:
        torch.nn.init.normal_(built.bias)
    x = torch.randn(2, 1, taps + more, 5, 5)
    expected = F.conv3d(x, built.kernel()[:, :, :, None, None], built.bias)
    got = built(x)
    assert torch.allclose(got, expected, atol=1e-5)
    weights = torch.randn_like(got)
    ours = torch.autograd.grad((got * weights).sum(), built.kernel.raw)[0]
    theirs = torch.autograd.grad((expected * weights).sum(), built.kernel.raw)[0]
    assert torch.allclose(ours, theirs, atol=1e-4)


INITIALISED = {"gaussian_derivatives": gaussian_derivatives, "biphasic": biphasic, "identity": delays}


@pytest.mark.parametrize("window", ["none", "hann", "kaiser"])
@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("init", INITIALISED)
def test_a21_initialisations_are_in_effect_under_window_and_weight_norm(init, window, weight_norm):
    for unit in {False, weight_norm}:
        built = bank(
            kernel_size=12, num_channels=3, init=init, window=window, weight_norm=weight_norm, keep_unit_norm=unit
        )
        for effective, target in zip(built.kernel()[:, 0], INITIALISED[init](3, 12), strict=True):
            assert float(F.cosine_similarity(effective.detach(), target, dim=0)) > 0.99999
            norm = 1.0 if unit or init == "identity" else math.sqrt(2.0)
            assert float(effective.detach().norm()) == pytest.approx(norm, abs=1e-4)


def test_the_first_kernels_are_a_gaussian_and_its_derivatives():
    rows = gaussian_derivatives(3, 15).numpy()
    t = np.arange(15) - 7.0
    gauss = np.exp(-(t**2) / (2 * 2.5**2))
    slope, bend = np.gradient(gauss), np.gradient(np.gradient(gauss))
    for row, wanted in zip(rows, (gauss, slope, bend), strict=True):
        assert np.corrcoef(row[2:-2], wanted[2:-2])[0, 1] > 0.99


def test_identity_kernels_are_delays():
    x = torch.randn(1, 1, 6, SIDE, SIDE)
    y = bank(kernel_size=3, num_channels=4, init="identity", window="hann")(x)
    for channel, ago in enumerate([0, 1, 2, 2]):
        assert torch.allclose(y[:, channel], x[:, 0, 2 - ago : 6 - ago], atol=1e-6)


def test_biphasic_kernels_turn_over_and_sum_to_little():
    for kernel in biphasic(4, 16).flip(1):
        peak, trough = int(kernel.argmax()), int(kernel.argmin())
        assert peak < trough  # in lags: first the one, then the other
        assert abs(float(kernel.sum())) < 0.35 * float(kernel.abs().sum())


def blur_down_up(image: torch.Tensor) -> torch.Tensor:
    """The coarse band by convolutions: mirrored blur, every second pixel, zeros between, blur."""
    kernel = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    kernel = torch.outer(kernel, kernel)[None, None]
    down = F.conv2d(F.pad(image[None, None], (2, 2, 2, 2), mode="reflect"), kernel, stride=2)
    spread = torch.zeros(1, 1, *image.shape)
    spread[..., ::2, ::2] = 4 * down
    return F.conv2d(spread, kernel, padding=2)[0, 0]


@pytest.mark.parametrize("size", [9, 12, 15])
def test_the_coarse_band_is_blurred_decimated_and_interpolated(size):
    image = torch.randn(size, size)
    band = coarse(size)
    ours = band @ image @ band.t()
    assert torch.allclose(ours[2:-2, 2:-2], blur_down_up(image)[2:-2, 2:-2], atol=1e-5)
    assert torch.allclose(band.sum(1), torch.ones(size), atol=1e-6)


def test_split_mp_filters_the_fine_band_by_its_first_half_and_the_coarse_by_its_second():
    built = bank(kernel_size=3, num_channels=4, split_mp=True, init="random")
    x = torch.randn(1, 1, 5, SIDE, SIDE)
    band = coarse(SIDE)
    low = band @ x @ band.t()
    kernels = built.kernel()[:, :, :, None, None]
    expected = torch.cat([F.conv3d(x - low, kernels[:2]), F.conv3d(low, kernels[2:])], dim=1)
    assert torch.allclose(built(x), expected, atol=1e-5)
    grey = torch.full((1, 1, 3, SIDE, SIDE), 0.3)
    assert float(built(grey).detach()[:, :2].abs().max()) < 1e-6
    for half in bank(kernel_size=3, num_channels=4, split_mp=True, init="identity").kernel()[:, 0].chunk(2):
        assert torch.allclose(half, delays(2, 3), atol=1e-6)


DA = {"alpha": 0.7, "beta": 0.02, "gamma": 0.3, "tau_y_ms": 12.0, "tau_z_ms": 40.0, "n_y": 2.0, "n_z": 1.5}


def slow_adaptation(grey: np.ndarray, rate: float, length: int) -> np.ndarray:
    """The model of Clark et al. for one pixel, term by term."""

    def gamma(lag: int, tau_ms: float, n: float) -> float:
        tau = tau_ms / 1000 * rate
        return lag**n * math.exp(-lag / tau) / (tau ** (n + 1) * math.gamma(n + 1))

    out = []
    for t in range(length - 1, len(grey)):
        y = sum(gamma(j, DA["tau_y_ms"], DA["n_y"]) * grey[t - j] for j in range(length))
        slow = sum(gamma(j, DA["tau_z_ms"], DA["n_z"]) * grey[t - j] for j in range(length))
        z = DA["gamma"] * y + (1 - DA["gamma"]) * slow
        out.append(DA["alpha"] * y / (1 + DA["beta"] * z))
    return np.array(out)


@pytest.mark.parametrize("learnable", [False, True])
def test_dynamical_adaptation_is_its_formula_forward_in_time(learnable):
    built = frontend({"type": "da", "filter_length": 8, "sampling_rate": 100.0, "learnable": learnable, **DA})
    grey = np.random.default_rng(0).uniform(0, 255, 20)
    x = torch.from_numpy((grey - 127) / 255).float().view(1, 1, -1, 1, 1)
    expected = slow_adaptation(grey, 100.0, 8) - slow_adaptation(np.full(8, 127.0), 100.0, 8)
    assert np.allclose(built(x).detach().numpy().ravel(), expected, rtol=1e-3, atol=1e-3)
    assert float(built(torch.zeros(1, 1, 8, 1, 1)).detach().abs().max()) < 1e-4


def test_a4_a_flash_is_followed_by_its_response_and_a_step_by_adaptation():
    built = frontend({"type": "da", "filter_length": 40, "beta": 0.05, "tau_y_ms": 8.0, "tau_z_ms": 60.0})
    flash = torch.zeros(1, 1, 100, 1, 1)
    flash[:, :, 60] = 0.5
    response = built(flash).flatten().detach()  # the first output frame is frame 39
    assert float(response[: 60 - 39].abs().max()) < 1e-5
    assert float(response[60 - 39 + 1 :].max()) > 0.01
    step = torch.full((1, 1, 100, 1, 1), -0.4)
    step[:, :, 50:] = 0.4
    response = built(step).flatten().detach()[50 - 39 :]
    assert float(response.max()) > 1.3 * float(response[-1])


def test_its_kernels_are_those_of_the_dacones_transform():
    built = frontend({"type": "da", "filter_length": 32, "sampling_rate": 240.0})
    theirs = adaptation_kernels(DaCones(filter_length=32, sampling_rate=240.0))
    assert torch.allclose(built.kernels().flip(1), theirs, rtol=1e-4, atol=1e-7)


def test_adaptation_learns_time_constants():
    """Gradient steps on the parameters bring a response closer to that of other time constants."""
    settings = {"type": "da", "filter_length": 30, "beta": 0.02}
    target = frontend({**settings, "tau_y_ms": 12.0, "tau_z_ms": 40.0})
    built = frontend({**settings, "learnable": True})
    x = torch.rand(1, 1, 120, 2, 2) - 0.5
    wanted = target(x)
    optimizer = torch.optim.Adam(built.parameters(), lr=0.04)
    losses = []
    for _ in range(40):
        loss = (built(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("log_spacing", [False, True])
def test_the_basis_is_raised_cosines_on_the_frame_and_before_it(log_spacing):
    settings = {"num_delta_funcs": 2, "num_cosine_funcs": 3, "history_bins": 12, "log_spacing": log_spacing}
    built = frontend({"type": "temporal_basis", **settings, "peak_range_ms": [10, 50], "sampling_rate": 100.0})
    x = torch.randn(1, 1, 15, SIDE, SIDE)
    y = built(x)
    assert torch.allclose(y[:, 0], x[:, 0, 11:], atol=1e-6)
    assert torch.allclose(y[:, 1], x[:, 0, 10:-1], atol=1e-6)
    lags = np.arange(12) * 10.0
    place = (lambda v: np.log(np.asarray(v) + 1e-6)) if log_spacing else np.asarray
    centres = np.linspace(place(10.0), place(50.0), 3)
    for number, centre in enumerate(centres):
        phase = (place(lags) - centre) * np.pi / (2 * (centres[1] - centres[0]))
        bump = np.where(np.abs(phase) > np.pi, 0.0, (np.cos(phase) + 1) / 2)
        bump /= np.linalg.norm(bump)
        expected = sum(bump[lag] * x[:, 0, 11 - lag : 15 - lag] for lag in range(12))
        assert torch.allclose(y[:, 2 + number], expected.float(), atol=1e-4)
    same = basis_matrix(BasisOfCovariates(**settings, peak_range_ms=(10, 50), bin_size_ms=10.0))
    assert torch.equal(built.bank[0].flip(1), same[:, 1:])


def test_an_orthogonal_basis_spans_the_same():
    settings = {"type": "temporal_basis", "num_cosine_funcs": 4, "history_bins": 16, "peak_range_ms": [10, 90]}
    plain, right = frontend(settings).bank[0], frontend({**settings, "orthogonalize": True}).bank[0]
    assert torch.allclose(right @ right.t(), torch.eye(4), atol=1e-5)
    assert torch.allclose(plain @ right.t() @ right, plain, atol=1e-5)


def test_a_basis_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="function 5 of temporal_basis is zero on all 5 frames"):
        frontend({"type": "temporal_basis", "history_bins": 5, "peak_range_ms": [10, 500]})
    with pytest.raises(UsageError, match="not independent on 6 frames"):
        frontend(
            {"type": "temporal_basis", "history_bins": 6, "peak_range_ms": [5, 45], "log_spacing": False}
            | {"orthogonalize": True}
        )


def test_the_configs_say_what_history_they_need():
    assert LearnableTemporal(kernel_size=7).history == 6
    assert TypeAdapter(Frontend).validate_python(FRONTENDS["conv"]).history == 2
