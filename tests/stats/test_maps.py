"""Planted receptive fields are found where they are, and nothing is found where nothing is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from vctrain.stats.maps import accumulate, find_positions, main_components, patches, time_courses

SIDE, LAGS, SCORED = 20, 6, 60
COURSE = torch.tensor([0.0, -0.35, 0.2, 1.0, 0.6, 0.0])
"""Weight of lag 0, 1, ...: largest three frames back."""


def spot(y: float, x: float, size: float = 1.5) -> Tensor:
    yy, xx = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return torch.exp(-0.5 * ((yy - y) ** 2 + (xx - x) ** 2) / size**2).flatten()


def stripes(y: float, x: float, phase: float) -> Tensor:
    xx = torch.arange(SIDE).repeat(SIDE).float()
    return spot(y, x, 2.0) * torch.cos(xx * 1.6 + phase)


SIMPLE, COMPLEX = (5.0, 13.0), (14.0, 6.0)


def recording(binary: bool, clips: int = 150, seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Clips of noise and of four units: simple, complex, simple of the other sign, and one that sees nothing."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for _ in range(clips // 10):
        movie = torch.randn(10, LAGS - 1 + SCORED, SIDE * SIDE, generator=generator) * 0.3
        movie = movie.sign() * 0.3 if binary else movie
        drive = {
            name: torch.einsum("ntl,l->nt", (movie @ field).unfold(1, LAGS, 1).flip(-1), COURSE)
            for name, field in {"s": spot(*SIMPLE), "e": stripes(*COMPLEX, 0.0), "o": stripes(*COMPLEX, 1.5708)}.items()
        }
        energy = drive["e"].square() + drive["o"].square()
        simple = drive["s"] / drive["s"].std()
        rates = torch.stack(
            [
                0.3 * (1 + 1.5 * simple).clamp_min(0),
                0.4 * energy / energy.mean(),
                0.3 * (1 - 1.5 * simple).clamp_min(0),
                torch.full_like(simple, 0.3),
            ],
            dim=-1,
        )
        spikes = torch.poisson(rates, generator=generator)
        shape = (10, LAGS - 1 + SCORED, SIDE, SIDE)
        batches.append((movie.view(shape), spikes, torch.ones(10, SCORED, 1)))
    return batches


def pixels(center: Tensor) -> Tensor:
    return (center + 1) / 2 * (SIDE - 1)


@pytest.fixture(scope="module")
def gaussian_noise() -> list[tuple[Tensor, Tensor, Tensor]]:
    return recording(binary=False)


def test_simple_and_complex_fields_are_found_and_nothing_is_not(gaussian_noise) -> None:
    sums = accumulate(gaussian_noise, LAGS)
    positions = find_positions(sums, SIDE, SIDE)
    assert positions.clear.tolist() == [True, True, True, False]
    found = pixels(positions.center)
    for unit, planted in ((0, SIMPLE), (1, COMPLEX), (2, SIMPLE)):
        assert (found[unit] - torch.tensor(planted)).abs().max() < 1.5, unit
    # The unit without a field is put where the others are, at the median.
    assert torch.allclose(positions.center[3], positions.center[:3].median(0).values)


def test_a_complex_field_is_seen_by_its_energy_alone(gaussian_noise) -> None:
    sums = accumulate(gaussian_noise, LAGS)
    sums.energy = sums.square[:, None] / sums.frames * sums.spikes[None, :, None]
    assert find_positions(sums, SIDE, SIDE).clear.tolist() == [True, False, True, False]


def test_a_binary_stimulus_has_no_energy_to_be_found() -> None:
    """Its square is constant, so an energy map is rounding and must not decide where a unit looks."""
    positions = find_positions(accumulate(recording(binary=True), LAGS), SIDE, SIDE)
    assert positions.clear[[0, 2, 3]].tolist() == [True, True, False]
    for unit in (0, 2):
        assert (pixels(positions.center)[unit] - torch.tensor(SIMPLE)).abs().max() < 1.5
    assert float(positions.peak[3]) < 6


def test_masked_frames_and_the_order_of_batches_do_not_matter(gaussian_noise) -> None:
    few = gaussian_noise[:3]
    clean = accumulate(few, LAGS)
    hidden = []
    for movie, spikes, valid in reversed(few):
        valid = valid.clone()
        valid[:, 20:25] = 0
        hidden.append((movie, spikes, valid))
    noisy = accumulate([(m, s + 7 * (v == 0), v) for m, s, v in hidden], LAGS)
    masked = accumulate([(m, s * v, v) for m, s, v in hidden], LAGS)
    assert torch.allclose(noisy.linear, masked.linear, atol=1e-3)
    assert noisy.frames == masked.frames == clean.frames - 3 * 10 * 5
    assert torch.equal(noisy.spikes, masked.spikes)


def test_sums_equal_their_definition(gaussian_noise) -> None:
    movie, spikes, valid = gaussian_noise[0]
    valid = (torch.rand(10, SCORED, 1, generator=torch.Generator().manual_seed(3)) > 0.3).float()
    sums = accumulate([(movie, spikes, valid)], LAGS)
    for lag in (0, 2, LAGS - 1):
        seen = movie[:, LAGS - 1 - lag : LAGS - 1 - lag + SCORED].reshape(-1, SIDE * SIDE)
        weights = (spikes * valid).reshape(-1, 4)
        assert torch.allclose(sums.linear[lag], weights.T @ seen, atol=1e-3)
        assert torch.allclose(sums.energy[lag], weights.T @ seen.square(), atol=1e-3)
        assert torch.allclose(sums.mean[lag], (valid.reshape(-1, 1) * seen).sum(0), atol=1e-3)


def test_no_batch_is_no_map() -> None:
    def nothing() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        yield from ()

    assert accumulate(nothing(), LAGS) is None


def test_the_planted_time_course_comes_back(gaussian_noise) -> None:
    sums = accumulate(gaussian_noise, LAGS)
    positions = find_positions(sums, SIDE, SIDE)
    courses = time_courses(sums, positions)
    assert courses.shape == (int(positions.clear.sum()), LAGS)
    newest_last = COURSE.flip(0)
    simple = courses[0] / courses[0].norm()
    assert float((simple * newest_last / newest_last.norm()).sum().abs()) > 0.97
    main = main_components(courses, 1)
    assert float((main[0] * newest_last / newest_last.norm()).sum().abs()) > 0.97


def test_a_patch_is_cut_around_the_unit(gaussian_noise) -> None:
    sums = accumulate(gaussian_noise, LAGS)
    positions = find_positions(sums, SIDE, SIDE)
    cut = patches(sums, positions, SIDE, SIDE, 5, (1.0, 1.0))
    assert cut.shape == (int(positions.clear.sum()), LAGS, 5, 5)
    # Newest lag last: the largest weight is three frames back, in the middle of the patch.
    lag, y, x = torch.unravel_index(cut[0].abs().argmax(), cut[0].shape)
    assert int(lag) == LAGS - 1 - int(COURSE.argmax())
    assert max(abs(int(y) - 2), abs(int(x) - 2)) <= 1
    planted = spot(*SIMPLE).view(SIDE, SIDE)[3:8, 11:16].flatten()
    seen = cut[0, LAGS - 1 - int(COURSE.argmax())].flatten()
    assert float(torch.corrcoef(torch.stack([planted, seen]))[0, 1]) > 0.9


def test_main_components_are_orthonormal_and_signed() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = torch.linalg.qr(torch.randn(8, 2, generator=generator)).Q.T
    weights = torch.randn(30, 2, generator=generator) * torch.tensor([5.0, 2.0])
    main = main_components(weights @ planted, 2)
    assert torch.allclose(main @ main.T, torch.eye(2), atol=1e-4)
    assert torch.allclose(main.T @ main, planted.T @ planted, atol=1e-3)
    assert (main.gather(1, main.abs().argmax(1, keepdim=True)) > 0).all()
    assert len(main_components(weights[:1] @ planted, 4)) == 1
