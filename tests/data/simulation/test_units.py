"""Do the simulated neurons compute what simple and complex cells are known for?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.simulation.calibration import Geometry
from vctrain.data.simulation.stimuli import Gaborium
from vctrain.data.simulation.units import Population, Units, draw_units, saturated, temporal_kernels, visual_rate

GEOMETRY = Geometry(32)
RATE = 120.0


@pytest.fixture(scope="module")
def population() -> Population:
    made = Population(draw_units(np.random.default_rng(1), 12, GEOMETRY), GEOMETRY, RATE)
    chunks = Gaborium(GEOMETRY, RATE).chunks(np.random.default_rng(0), np.zeros((600, 2)))
    made.calibrate(torch.cat([made.projections(frames) for frames, _ in chunks]))
    return made


def grating(units: Units, index: int, phase: float, contrast: float = 0.3) -> torch.Tensor:
    axis = np.arange(GEOMETRY.window) - (GEOMETRY.window - 1) / 2
    along = np.sin(units.orientation[index]) * axis[:, None] + np.cos(units.orientation[index]) * axis[None, :]
    wave = contrast * np.cos(2 * np.pi / units.period[index] * along + phase)
    return torch.tensor(wave, dtype=torch.float32)[None].expand(14, -1, -1)


@given(count=st.integers(1, 200), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_at_least_two_in_five_units_are_complex(count: int, seed: int) -> None:
    units = draw_units(np.random.default_rng(seed), count, GEOMETRY)
    assert units.complex.mean() >= 0.4
    assert len(units) == count
    assert ((units.rate >= 5) & (units.rate <= 40)).all()
    assert (np.hypot(*units.centre.T) <= 4.01).all()


def test_complex_cells_ignore_phase_and_simple_cells_do_not(population: Population) -> None:
    for index, is_complex in enumerate(population.units.complex):
        drives = []
        for phase in np.linspace(0, 2 * np.pi, 8, endpoint=False):
            frames = grating(population.units, index, float(phase))
            drives.append(float(population.drive(population.projections(frames))[-1, index]))
        depth = (max(drives) - min(drives)) / (max(drives) + min(drives))
        assert depth < 0.25 if is_complex else depth > 0.9


def test_contrast_is_normalised(population: Population) -> None:
    low, high = (torch.cat([population.projections(frames * scale) for frames, _ in _noise()]) for scale in (0.5, 1.0))
    ratio = population.drive(high).mean(0) / population.drive(low).mean(0)
    assert (ratio < 1.5).all(), "twice the contrast must not double the response"
    assert (ratio >= 1.0).all()


def _noise() -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    return list(Gaborium(GEOMETRY, RATE).chunks(np.random.default_rng(5), np.zeros((300, 2))))


def test_uniform_light_drives_nobody(population: Population) -> None:
    frames = torch.full((20, GEOMETRY.window, GEOMETRY.window), 0.3)
    even_odd = population.projections(frames)[:, : 2 * len(population.units)]
    assert even_odd.abs().max() < 1e-4


def test_history_is_short_and_causal(population: Population) -> None:
    torch.manual_seed(0)
    projections = torch.randn(60, 3 * len(population.units)).abs()
    changed = projections.clone()
    changed[20] += 1.0
    differs = (population.drive(projections) != population.drive(changed)).any(1)
    assert differs[20:34].any()
    assert not differs[:20].any()
    assert not differs[34:].any()


@pytest.mark.parametrize("rate", [20.0, 60.0, 120.0, 240.0])
def test_temporal_kernels_are_biphasic_at_any_rate(rate: float) -> None:
    units = draw_units(np.random.default_rng(0), 30, GEOMETRY)
    kernels, pools = temporal_kernels(units, rate)
    assert kernels.shape == pools.shape == (30, max(2, round(14 * rate / 120)))
    assert torch.isfinite(kernels).all()
    assert torch.allclose(pools.sum(1), torch.ones(30), atol=1e-5)
    if rate >= 60:
        peak = (kernels.argmax(1) + 0.5) / rate
        assert ((peak > 0.03) & (peak < 0.065)).all()
        assert (kernels.min(1).values < -0.1).all()
        assert (kernels.argmin(1) > kernels.argmax(1)).all()


def test_eye_jumps_change_the_gain_later_and_both_ways(population: Population) -> None:
    gaze = np.zeros((120, 2))
    gaze[50:] = 0.3
    gain = population.gain(gaze)
    assert torch.all(gain[:50] == 1)
    extreme = torch.where(torch.tensor(population.units.gain > 0), gain.amax(0), gain.amin(0))
    assert torch.equal(extreme > 1, torch.tensor(population.units.gain > 0))
    assert (extreme.log().abs() > 0.5).all()
    assert (gain > 1).any(0).sum() not in (0, len(population.units))


def test_rates_have_the_units_mean() -> None:
    units = draw_units(np.random.default_rng(0), 5, GEOMETRY)
    drive = torch.rand(4000, 5).square() * 3
    response = saturated(drive, drive.mean(0))
    assert (response <= drive).all()
    rate = visual_rate(response, response.mean(0), units, RATE)
    assert torch.allclose(rate.mean(0) * RATE, torch.tensor(units.rate, dtype=torch.float32), rtol=1e-4)
    assert rate.min() > 0


def test_units_scale_with_the_patch() -> None:
    small, large = (draw_units(np.random.default_rng(2), 9, Geometry(size)) for size in (32, 64))
    for field in dataclasses.fields(Units):
        factor = 2.0 if field.name in {"centre", "period", "width"} else 1.0
        assert np.allclose(getattr(large, field.name), factor * getattr(small, field.name))
