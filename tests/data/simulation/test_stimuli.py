"""Is on the screen what the type's name says, and does gaze move it?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.config.simulation import StimulusType
from vctrain.data.simulation.calibration import Calibration, Geometry
from vctrain.data.simulation.photographs import NAMES, Photographs, window_around
from vctrain.data.simulation.stimuli import LIMIT, Gratings, stimulus

PLAIN = Calibration(1.0, (0.0, 0.0), 0.5)
GEOMETRY = Geometry(32)


def show(kind: str, gaze: np.ndarray, seed: int = 0, geometry: Geometry = GEOMETRY) -> tuple[torch.Tensor, dict]:
    parts = list(stimulus(kind, geometry, 120.0, PLAIN).chunks(np.random.default_rng(seed), gaze))
    labels = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    return torch.cat([part[0] for part in parts]), labels


@pytest.mark.parametrize("kind", ["gaborium", "backimage", "fixrsvp", "gratings"])
@pytest.mark.parametrize("size", [16, 32, 51])
def test_windows_are_contrast_around_gaze(kind: StimulusType, size: int) -> None:
    geometry = Geometry(size)
    frames, labels = show(kind, np.zeros((30, 2)), geometry=geometry)
    assert frames.shape == (30, geometry.window, geometry.window)
    assert frames.dtype == torch.float32
    assert frames.abs().max() <= LIMIT
    assert 0.08 < frames.std() < 0.35
    assert all(len(value) == 30 for value in labels.values())


def test_gaborium_is_new_every_frame() -> None:
    frames, _ = show("gaborium", np.zeros((400, 2)))
    flat = frames.flatten(1)
    flat = flat - flat.mean(0)
    next_frame = (flat[1:] * flat[:-1]).mean() / flat.square().mean()
    assert abs(next_frame) < 0.02
    assert abs(frames.mean()) < 0.01


@given(y=st.integers(-40, 40), x=st.integers(-40, 40))
@settings(max_examples=20, deadline=None)
def test_a_photograph_stays_on_the_screen_when_gaze_moves(y: int, x: int) -> None:
    image = torch.arange(80 * 90, dtype=torch.float32).reshape(80, 90)
    still = window_around(image, np.array([[40.5, 44.5]]), 10)[0]
    assert torch.equal(still, image[36:46, 40:50])
    moved = window_around(image, np.array([[40.5 + y, 44.5 + x]]), 10)[0]
    rows, columns = (np.pad(np.arange(n), 50, mode="symmetric")[50:] for n in (80, 90))
    rows = np.pad(np.arange(80), 50, mode="symmetric")[50 + 36 + y : 50 + 46 + y]
    columns = np.pad(np.arange(90), 50, mode="symmetric")[50 + 40 + x : 50 + 50 + x]
    assert torch.equal(moved, image[torch.tensor(rows)][:, torch.tensor(columns)])


def test_gaze_between_pixels_is_interpolated() -> None:
    image = torch.arange(50.0)[:, None] * 2 + torch.arange(60.0)[None, :] * 3
    at, moved = window_around(image, np.array([[25.5, 30.5], [25.75, 30.1]]), 8)
    assert torch.allclose(moved - at, torch.tensor(0.25 * 2 - 0.4 * 3), atol=1e-4)


def test_photographs_come_with_the_package() -> None:
    images = Photographs.bundled(1.0).images
    assert len(images) == len(NAMES)
    assert all(abs(float(image.mean())) < 1e-3 and min(image.shape) > 250 for image in images)


def test_fixrsvp_repeats_its_sequence() -> None:
    gaze = np.random.default_rng(0).normal(0, 3, (60, 2))
    first, labels = show("fixrsvp", gaze, seed=1)
    second, _ = show("fixrsvp", gaze, seed=2)
    assert torch.equal(first, second)
    assert labels["psth_inds"].tolist() == list(range(60))
    assert labels["psth_inds"].dtype == torch.int64
    change = (first[1:] - first[:-1]).abs().mean((1, 2))
    assert change[5::6].min() > change.median()


def test_gratings_are_told_in_stored_pixels() -> None:
    error = Calibration(1.2, (1.0, -0.5), 0.5)
    gaze = np.random.default_rng(0).normal(0, 10, (40, 2))
    shown = Gratings(GEOMETRY, 120.0, error)
    window, labels = next(shown.chunks(np.random.default_rng(0), gaze))
    patch = error.matrix(GEOMETRY, 0) @ (window @ error.matrix(GEOMETRY, 1).t())
    told = torch.cos(torch.deg2rad(labels["stim_phase"])) * shown.contrast
    for frame in range(40):
        assert torch.corrcoef(torch.stack([patch[frame].flatten(), told[frame].flatten()]))[0, 1] > 0.99
    assert labels["stim_phase"].shape == (40, 32, 32)
    assert set(labels["sf"].tolist()) <= {round(value, 1) for value in shown.frequencies} | set(
        torch.tensor(shown.frequencies).tolist()
    )
    assert labels["ori"].min() >= 0
    assert labels["ori"].max() < 180
