"""Small simulations that several tests read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import SimulationReport, simulate


@pytest.fixture(scope="session")
def all_types(tmp_path_factory: pytest.TempPathFactory) -> SimulationReport:
    """Two sessions of half a minute of each stimulus type."""
    settings = SimulationConfig(
        sessions=2, units=6, minutes=2.0, types=("gaborium", "backimage", "fixrsvp", "gratings"), seed=3
    )
    return simulate(tmp_path_factory.mktemp("simulated") / "all", settings)


@pytest.fixture(scope="session")
def recorded_gaze() -> Path:
    """Recorded eye traces, which are not part of the project."""
    folder = Path(os.environ.get("VCTRAIN_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    path = folder / "data" / "eye_traces" / "eye_traces.npz"
    if not path.is_file():
        pytest.skip(f"no recorded eye traces at {path} (set VCTRAIN_SHARED)")
    return path
