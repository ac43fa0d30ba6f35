"""The windowed reference of the benchmarks, on twins of old checkpoints, predicts what the old system predicted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from old_checkpoints import (
    BEHAVIOR,
    IDS,
    SIDE,
    Loaded,
    clips,
    largest_relative,
    load,
    stored_windows,
    window_by_window,
)

from benchmarks.windowed import Windowed


@pytest.fixture(scope="module", params=IDS)
def loaded(request: pytest.FixtureRequest, legacy_fixtures: Path) -> Loaded:
    return load(legacy_fixtures / request.param)


def test_windows_of_the_old_system(loaded: Loaded) -> None:
    twin = loaded.twin
    parts = stored_windows(loaded)
    with torch.no_grad():
        found = Windowed(twin)(parts)
    for session, rates in enumerate(found):
        assert largest_relative(rates[:, 0], loaded.tensor(f"rates_{session}")) < 1e-5


def test_every_frame_of_longer_clips(loaded: Loaded) -> None:
    twin = loaded.twin
    parts = [clips(twin, session, side=SIDE, behavior=BEHAVIOR) for session in range(len(twin.units))]
    with torch.no_grad():
        for part, rates in zip(parts, Windowed(twin)(parts), strict=True):
            assert largest_relative(rates, window_by_window(twin, part)) < 1e-5
