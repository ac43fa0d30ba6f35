"""Is the simulation worth learning: not too easy, not too hard, and nothing in it for nothing?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from linear_nonlinear import fitted_bps

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import SimulationReport, simulate


def check(facts: dict[str, Any]) -> None:
    """What the issue asks of any simulation."""
    oracle = facts["oracle"]
    for name, kind in {"all": oracle | {"oracle": oracle["overall"]}, **oracle["types"]}.items():
        assert 0.3 < kind["oracle"] < 1.5, name
        share = 1 - kind["without_behavior"] / kind["oracle"]
        assert 0.10 <= share <= 0.25, f"behaviour is worth {share:.3f} of the oracle in {name}"
    for entry in facts["sessions"]:
        cells = entry["units"]["complex"]
        assert sum(cells) / len(cells) >= 0.4
        rates = torch.tensor([kind["spikes_per_second"] for kind in entry["types"].values()])
        assert (rates.mean(0) > 5).all()
        assert (rates.mean(0) < 40).all()
    scales = [entry["calibration"]["scale"] for entry in facts["sessions"]]
    assert min(scales) == pytest.approx(0.8)
    assert max(scales) == pytest.approx(1.25)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulationReport:
    return simulate(tmp_path_factory.mktemp("worth") / "out", SimulationConfig(sessions=2, units=16, minutes=5))


def test_a_small_simulation_is_worth_learning(small: SimulationReport) -> None:
    check(small.facts)


def test_a_linear_nonlinear_model_gets_simple_cells_only(small: SimulationReport) -> None:
    entry = small.facts["sessions"][0]
    path = small.out / entry["session"] / "gaborium.dset"
    bps, oracle = fitted_bps(torch.load(path, weights_only=True, mmap=True)["covariates"], crop=17, basis=5)
    cells = torch.tensor(entry["units"]["complex"])
    fraction = bps / oracle
    assert bps.mean() / oracle.mean() < 0.6
    assert fraction.median() < 0.6
    assert fraction[cells].mean() < 0.1, "complex cells have no linear filter"
    assert fraction[~cells].mean() > 0.4, "the mapping itself must work, or it proves nothing"


@pytest.mark.slow
def test_half_the_frame_rate_is_worth_learning(tmp_path: Path) -> None:
    check(simulate(tmp_path / "out", SimulationConfig(rate=60.0)).facts)


@pytest.mark.slow
def test_the_default_simulation(tmp_path: Path) -> None:
    started = time.perf_counter()
    report = simulate(tmp_path / "out", SimulationConfig())
    assert time.perf_counter() - started < 60
    check(report.facts)
    for kind in ("gaborium", "backimage"):
        fractions, ratios = [], []
        for entry in report.facts["sessions"]:
            path = report.out / entry["session"] / f"{kind}.dset"
            bps, oracle = fitted_bps(torch.load(path, weights_only=True, mmap=True)["covariates"])
            fractions.append(bps / oracle)
            ratios.append(float(bps.mean() / oracle.mean()))
        together = torch.cat(fractions)
        assert max(ratios) < 0.6, kind
        assert together.median() < 0.6, kind
        assert together.mean() < 0.6, kind
