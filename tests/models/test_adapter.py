"""The adapter's blur is centred and learns; its scale and shift undo a calibration error."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.components.adapters import AffineAdapter
from vctrain.models.adapter import SessionAdapter, adapted, blurred_hat, normalise


@given(st.floats(-3, 3), st.floats(0.05, 3.0))
def test_weights_sum_to_one_and_are_centred(position, sigma):
    pixel = torch.arange(-40, 41, dtype=torch.float64)
    weights = blurred_hat(torch.tensor(position, dtype=torch.float64) - pixel, torch.tensor(sigma, dtype=torch.float64))
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float((weights * pixel).sum()) == pytest.approx(position, abs=1e-6)


def test_width_of_the_blur_is_that_of_hat_and_gaussian():
    pixel = torch.arange(-40, 41, dtype=torch.float64)
    weights = blurred_hat(-pixel, torch.tensor(1.5, dtype=torch.float64))
    assert float((weights * pixel.square()).sum()) == pytest.approx(1.5**2 + 1 / 6, abs=1e-3)


def test_a14_an_impulse_stays_where_it_is():
    adapter = SessionAdapter(AffineAdapter(init_sigma=1.0), 11)
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 5] = 1.0
    out = adapter(image)[0, 0].detach()
    axis = torch.arange(11.0)
    assert out.shape == (11, 11)
    assert float((out.sum(1) * axis).sum() / out.sum()) == pytest.approx(5.0, abs=1e-4)
    assert float(out.sum()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("transform", ["scale", "affine"])
def test_a14_every_parameter_has_a_gradient(transform):
    adapter = SessionAdapter(AffineAdapter(transform=transform), 9)
    (adapter(torch.randn(2, 3, 9, 9)) * torch.randn(2, 3, 9, 9)).sum().backward()
    for name, parameter in adapter.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_affine_without_shear_is_scale():
    scale, affine = (SessionAdapter(AffineAdapter(transform=t, init_sigma=2.0), 9) for t in ("scale", "affine"))
    image = torch.randn(1, 2, 9, 9)
    with torch.no_grad():
        for adapter in (scale, affine):
            adapter.scale.copy_(torch.tensor([0.8, 0.6]))
            adapter.shift.copy_(torch.tensor([0.1, -0.05]))
        assert torch.allclose(scale(image)[..., 1:-1, 1:-1], affine(image)[..., 1:-1, 1:-1], atol=0.03)


def test_scale_and_shift_undo_a_calibration_error():
    """A smooth pattern stored 1.25 times too large and a little off is brought back by 1.25 and the shift."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 33), torch.linspace(-1, 1, 33), indexing="ij")

    def pattern(v, u):
        return torch.exp(-((v - 0.1) ** 2 + u**2) / 0.1)

    stored = pattern(y / 1.25 - 0.08, x / 1.25)
    adapter = SessionAdapter(AffineAdapter(init_sigma=0.05), 33)
    with torch.no_grad():
        adapter.scale.fill_(1.25)
        adapter.shift.copy_(torch.tensor([0.1, 0.0]))
        out = adapter(stored[None, None])[0, 0]
    inner = slice(5, -5)
    assert float((out - pattern(y, x))[inner, inner].abs().max()) < 0.02


def test_mean_grey_is_zero_contrast():
    assert normalise(torch.tensor([127], dtype=torch.uint8)).item() == 0.0


@pytest.mark.parametrize("transform", ["scale", "affine"])
def test_a14_the_width_of_the_blur_is_learned(transform):
    """From half a pixel, gradient descent finds the 1.5 pixels by which the wanted images are blurred."""
    torch.manual_seed(0)
    image = torch.randn(1, 2, 15, 15)
    target = SessionAdapter(AffineAdapter(transform=transform, init_sigma=1.5), 15)(image).detach()
    adapter = SessionAdapter(AffineAdapter(transform=transform, init_sigma=0.5), 15)
    optimizer = torch.optim.Adam([adapter.log_sigma], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (adapter(image) - target).square().mean().backward()
        optimizer.step()
    assert float(torch.nn.functional.softplus(adapter.log_sigma.detach())) == pytest.approx(1.5, abs=0.05)


def test_a_quarter_turn_is_an_affine_map():
    adapter = SessionAdapter(AffineAdapter(transform="affine", blur=False), 9)
    image = torch.randn(1, 1, 9, 9)
    with torch.no_grad():
        adapter.scale.zero_()
        adapter.shear.copy_(torch.tensor([1.0, -1.0]))
        turned = adapter(image)
    assert torch.allclose(turned, torch.rot90(image, 1, (2, 3)), atol=0.1)


def test_without_blur_a_grid_of_the_stimulus_is_the_stimulus():
    adapter = SessionAdapter(AffineAdapter(blur=False), 9)
    image = torch.randn(1, 3, 9, 9)
    assert torch.allclose(adapter(image), image, atol=0.1)
    assert "log_sigma" not in dict(adapter.named_parameters())


@given(st.sampled_from(["scale", "affine"]), st.integers(5, 12), st.integers(5, 12), st.integers(4, 12))
def test_a_frame_is_adapted_by_itself(transform, height, width, grid):
    adapter = SessionAdapter(AffineAdapter(transform=transform), grid)
    movie = torch.randn(2, 3, height, width)
    with torch.no_grad():
        whole = adapter(movie)
        assert whole.shape == (2, 3, grid, grid)
        assert torch.allclose(adapter(movie[:, 1:2]), whole[:, 1:2], atol=1e-5)


def test_sessions_adapted_together_are_adapted_as_each_alone() -> None:
    torch.manual_seed(0)
    kinds = [{"blur": True}, {"blur": False}, {"blur": True, "transform": "affine"}, {"blur": True}, {"blur": True}]
    sides = [(9, 9), (9, 9), (9, 9), (9, 12), (9, 9)]
    adapters = [SessionAdapter(AffineAdapter.model_validate({"type": "adapter", **kind}), 7) for kind in kinds]
    with torch.no_grad():
        for parameter in (p for adapter in adapters for p in adapter.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    movies = [torch.randn(2, 3, *side) for side in sides]
    together = adapted([*adapters, torch.nn.Identity()], [*movies, movies[0]])
    assert together[-1] is movies[0]
    for adapter, movie, found in zip(adapters, movies, together, strict=False):
        torch.testing.assert_close(found, adapter(movie), rtol=1e-6, atol=1e-7)
