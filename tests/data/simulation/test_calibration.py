"""Is a session's error what it says it is, and can an adapter undo it?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import affine_grid, grid_sample

from vctrain.data.simulation.calibration import Calibration, Geometry, calibration, stored
from vctrain.data.simulation.stimuli import Gaborium

ERRORS = st.builds(
    Calibration,
    scale=st.floats(0.8, 1.25),
    shift=st.tuples(st.floats(-1.7, 1.7), st.floats(-1.7, 1.7)),
    blur=st.floats(0.5, 0.8),
)


def matrices(error: Calibration, geometry: Geometry) -> tuple[torch.Tensor, torch.Tensor]:
    return error.matrix(geometry, 0), error.matrix(geometry, 1)


@given(seed=st.integers(0, 1000), sessions=st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_scales_spread_over_the_whole_range(seed: int, sessions: int) -> None:
    errors = [calibration(seed, index, sessions, Geometry(32)) for index in range(sessions)]
    scales = sorted(error.scale for error in errors)
    assert scales[0] == pytest.approx(0.8)
    assert scales[-1] == pytest.approx(1.25)
    assert np.allclose(np.diff(np.log(scales)), np.log(1.25 / 0.8) / (sessions - 1))
    assert all(0.4 < np.hypot(*error.shift) < 1.8 for error in errors)


def test_a_single_session_has_an_error_too() -> None:
    scales = {round(calibration(seed, 0, 1, Geometry(32)).scale, 3) for seed in range(8)}
    assert len(scales) > 4
    assert all(0.8 <= scale <= 1.25 for scale in scales)


@given(error=ERRORS, y=st.floats(-7, 7), x=st.floats(-7, 7))
@settings(max_examples=40, deadline=None)
def test_a_spot_is_stored_where_the_error_puts_it(error: Calibration, y: float, x: float) -> None:
    geometry = Geometry(32)
    axis = torch.arange(geometry.window) - (geometry.window - 1) / 2
    spot = torch.exp(-0.5 * ((axis - y)[:, None] ** 2 + (axis - x)[None, :] ** 2) / 1.5**2)[None]
    patch = stored(spot * 0.45, *matrices(error, geometry))[0].double() - 127
    place = torch.arange(32, dtype=torch.float64) - 15.5
    centre = (patch.sum(1) @ place / patch.sum(), patch.sum(0) @ place / patch.sum())
    expected = ((y - error.shift[0]) / error.scale, (x - error.shift[1]) / error.scale)
    assert float(centre[0]) == pytest.approx(expected[0], abs=0.1)
    assert float(centre[1]) == pytest.approx(expected[1], abs=0.1)


@given(error=ERRORS)
@settings(max_examples=20, deadline=None)
def test_scale_and_shift_undo_it(error: Calibration) -> None:
    geometry = Geometry(32)
    rng = np.random.default_rng(0)
    window = next(Gaborium(geometry, 120.0).chunks(rng, np.zeros((40, 2))))[0]
    truth = window[:, geometry.margin : -geometry.margin, geometry.margin : -geometry.margin]
    patch = (stored(window, *matrices(error, geometry)).float() - 127) / 255
    half = geometry.size / 2
    inverse = [[1 / error.scale, 0, -error.shift[1] / error.scale / half]]
    inverse.append([0, 1 / error.scale, -error.shift[0] / error.scale / half])
    points = affine_grid(torch.tensor(inverse)[None].expand(40, 2, 3), [40, 1, 32, 32], align_corners=False)
    undone = grid_sample(patch[:, None], points, align_corners=False)[:, 0]
    middle = (slice(None), slice(8, 24), slice(8, 24))

    def likeness(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([a[middle].flatten(), b[middle].flatten()]))[0, 1])

    assert likeness(undone, truth) > 0.93
    assert likeness(undone, truth) > likeness(patch, truth) - 0.005
