"""Windows keep every tap, and no initialisation is lost behind a window or a weight norm."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.components.frontends import LearnableTemporal
from vctrain.models.frontend import TemporalBank, gaussian_derivatives
from vctrain.models.kernels import Kernel, separable_taper, taper


@given(st.integers(1, 20), st.sampled_from(["hann", "hamming", "none"]), st.floats(0.25, 2.0))
def test_no_tap_of_a_window_is_zero(taps, window, power):
    values = taper(taps, window, power)
    assert values.shape == (taps,)
    assert float(values.min()) > 0
    assert float(values.max()) == pytest.approx(1.0)
    assert torch.allclose(values, values.flip(0))


def test_short_axes_are_not_windowed():
    window = separable_taper((3, 5), "hann")
    assert torch.equal(window[0], window[2])
    assert window[0, 0] < window[0, 2]


@pytest.mark.parametrize("weight_norm", [False, True])
def test_a21_the_wanted_kernel_is_the_effective_kernel(weight_norm):
    kernel = Kernel((4, 2, 3, 7, 7), window="hann", weight_norm=weight_norm)
    wanted = torch.randn(4, 2, 3, 7, 7)
    kernel.set_effective(wanted)
    assert torch.allclose(kernel(), wanted, atol=1e-6)


def test_a21_temporal_kernels_start_as_gaussian_derivatives_under_a_window():
    bank = TemporalBank(LearnableTemporal(kernel_size=16, num_channels=3, window="hann"))
    wanted = gaussian_derivatives(3, 16)
    for effective, target in zip(bank.kernel()[:, 0], wanted, strict=True):
        assert float(torch.corrcoef(torch.stack([effective, target]))[0, 1]) > 0.9999


def test_b12_weight_norm_is_the_norm_in_effect_and_every_parameter_learns():
    kernel = Kernel((4, 2, 1, 9, 9), window="hann", weight_norm=True)
    assert torch.allclose(kernel().flatten(1).norm(dim=1), kernel.gain)
    kernel().square().sum().backward()
    assert all(p.grad is not None for p in kernel.parameters())


def test_the_scale_of_random_kernels_does_not_depend_on_the_window():
    torch.manual_seed(0)
    plain = Kernel((256, 8, 1, 7, 7))().square().mean()
    windowed = Kernel((256, 8, 1, 7, 7), window="hann")().square().mean()
    assert float(windowed / plain) == pytest.approx(1.0, abs=0.05)
