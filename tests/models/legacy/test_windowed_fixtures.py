"""The windowed reference of the benchmarks, on twins of old checkpoints, predicts what the old system predicted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from old_checkpoints import BEHAVIOR, IDS, LAGS, SIDE, Loaded, clips, largest_relative, load, window_by_window

from benchmarks.windowed import Windowed
from vctrain.data.clips import SessionClips


@pytest.fixture(scope="module", params=IDS)
def loaded(request: pytest.FixtureRequest, legacy_fixtures: Path) -> Loaded:
    return load(legacy_fixtures / request.param)


def test_windows_of_the_old_system(loaded: Loaded) -> None:
    twin = loaded.twin
    parts = []
    for session, units in enumerate(twin.units):
        stim = loaded.tensor(f"stim_{session}")[:, 0].flip(1)
        behavior = loaded.tensor(f"behavior_{session}")[:, None].expand(-1, len(LAGS), -1)
        parts.append(
            SessionClips(
                session=session,
                stim=stim if twin.reads_stimulus else None,
                robs=torch.zeros(len(stim), 1, units),
                dfs=torch.ones(len(stim), 1, 1),
                behavior=behavior,
            )
        )
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
