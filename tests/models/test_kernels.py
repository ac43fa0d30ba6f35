"""Windows keep every tap, and no initialisation is lost behind a window or a weight norm."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.components.windows import Window
from vctrain.models.kernels import Kernel, separable_taper, taper

WINDOWS = get_args(Window)


@given(st.integers(1, 20), st.sampled_from(WINDOWS), st.floats(0.25, 2.0))
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


@pytest.mark.parametrize("window", WINDOWS)
def test_b12_unit_kernels_have_unit_norm_under_their_window_and_no_gain(window):
    kernel = Kernel((4, 2, 1, 9, 9), window=window, weight_norm=True, keep_unit_norm=True)
    wanted = torch.randn(4, 2, 1, 9, 9)
    kernel.set_effective(wanted)
    norms = wanted.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
    assert torch.allclose(kernel(), wanted / norms, atol=1e-5)
    assert [name for name, _ in kernel.named_parameters()] == ["raw"]
    assert list(kernel.state_dict()) == ["raw"]


def test_the_first_filters_are_set_at_their_present_norm_and_the_others_stay():
    for norm in ({}, {"weight_norm": True}, {"weight_norm": True, "keep_unit_norm": True}):
        kernel = Kernel((4, 2, 1, 5, 5), window="hann", **norm)
        before, wanted = kernel().detach().clone(), torch.randn(2, 2, 1, 5, 5)
        kernel.set_first(wanted)
        after = kernel().detach()
        assert torch.allclose(after[2:], before[2:], atol=1e-6)
        assert torch.allclose(after.flatten(1).norm(dim=1), before.flatten(1).norm(dim=1), atol=1e-5)
        assert torch.allclose(
            torch.cosine_similarity(after[:2].flatten(1), wanted.flatten(1)), torch.ones(2), atol=1e-5
        )


def test_b12_weight_norm_is_the_norm_in_effect_and_every_parameter_learns():
    kernel = Kernel((4, 2, 1, 9, 9), window="hann", weight_norm=True)
    assert torch.allclose(kernel().flatten(1).norm(dim=1), kernel.gain)
    kernel().square().sum().backward()
    assert all(p.grad is not None for p in kernel.parameters())


def test_the_scale_of_random_kernels_does_not_depend_on_the_window():
    torch.manual_seed(0)
    plain = Kernel((256, 8, 1, 7, 7))().square().mean()
    windowed = Kernel((256, 8, 1, 7, 7), window="hann")().square().mean()
    assert float((windowed / plain).detach()) == pytest.approx(1.0, abs=0.05)


def test_a_filter_of_one_number_is_its_own_gain_or_a_sign():
    own = Kernel((3, 1, 1, 1, 1), weight_norm=True)
    own.set_effective(torch.tensor([0.5, -2.0, 3.0]).view(3, 1, 1, 1, 1))
    assert own().flatten().tolist() == [0.5, -2.0, 3.0]
    own().sum().backward()
    assert own.raw.grad.abs().min() > 0
    sign = Kernel((3, 1, 1, 1, 1), weight_norm=True, keep_unit_norm=True)
    assert sign().abs().flatten().tolist() == [1.0, 1.0, 1.0]
    assert not any(parameter.requires_grad for parameter in sign.parameters())
