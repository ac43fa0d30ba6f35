"""Is a simulated folder complete, true to its word, and the same every time?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.simulation import SimulationConfig
from vctrain.data.opening import open_sessions
from vctrain.data.simulation import SimulationReport, files, sessions, simulate
from vctrain.errors import FaultError, UsageError

TINY = SimulationConfig(sessions=2, units=3, minutes=0.2, types=("gaborium", "backimage", "fixrsvp", "gratings"))
COMMON = {
    "stim": torch.uint8,
    "robs": torch.float32,
    "eyepos": torch.float32,
    "dpi_valid": torch.float32,
    "trial_inds": torch.int64,
    "t_bins": torch.float64,
    "rate_true": torch.float32,
}
OWN = {"gratings": {"stim_phase", "ori", "sf"}, "fixrsvp": {"psth_inds"}, "gaborium": set(), "backimage": set()}


def load(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True, mmap=True)["covariates"]


def digests(root: Path) -> dict[str, str]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_the_folder_holds_what_the_format_says(all_types: SimulationReport) -> None:
    names = [entry["session"] for entry in all_types.facts["sessions"]]
    assert sorted(path.name for path in all_types.out.iterdir()) == sorted(
        [*names, "dataset.yaml", "sessions", "simulation.json"]
    )
    for name in names:
        child = yaml.safe_load((all_types.out / "sessions" / f"{name}.yaml").read_text())
        assert child == {"session": name, "lab": "simulation", "cids": list(range(6))}
        for kind, own in OWN.items():
            saved = torch.load(all_types.out / name / f"{kind}.dset", weights_only=True)
            assert saved["metadata"] == {"name": name, "rate_hz": 120.0, "type": kind, "simulated": True}
            covariates = saved["covariates"]
            assert set(covariates) == set(COMMON) | own
            assert {len(value) for value in covariates.values()} == {3600}
            assert {key: covariates[key].dtype for key in COMMON} == COMMON
            assert covariates["stim"].shape == (3600, 32, 32)
            assert all(bool(torch.isfinite(value.float()).all()) for value in covariates.values())


def test_trials_gaps_and_time(all_types: SimulationReport) -> None:
    gaps = 0.0
    for path in all_types.out.glob("*/*.dset"):
        covariates = load(path)
        trials, time = covariates["trial_inds"], covariates["t_bins"]
        lengths = torch.bincount(trials)
        assert torch.equal(trials.unique(), torch.arange(len(lengths)))
        assert (trials.diff() >= 0).all()
        assert ((lengths >= 240) & (lengths <= 780)).all()
        within = trials.diff() == 0
        assert torch.allclose(time.diff()[within], torch.tensor(1 / 120, dtype=torch.float64))
        assert (time.diff()[~within] > 0.5).all()
        assert set(covariates["dpi_valid"].unique().tolist()) <= {0.0, 1.0}
        gaps += float((covariates["dpi_valid"] == 0).float().mean())
    assert 0 < gaps / 8 < 0.05


def test_spikes_are_poisson_around_the_true_rate(all_types: SimulationReport) -> None:
    for path in all_types.out.glob("*/*.dset"):
        covariates = load(path)
        robs, rate = covariates["robs"].double(), covariates["rate_true"].double()
        assert torch.equal(robs, robs.round())
        assert ((robs.sum(0) - rate.sum(0)).abs() < 5 * rate.sum(0).sqrt()).all()
        fano = ((robs - rate) ** 2).sum(0) / rate.sum(0)
        assert ((fano > 0.8) & (fano < 1.25)).all()


def test_grey_is_127_and_contrast_is_used(all_types: SimulationReport) -> None:
    for path in all_types.out.glob("*/gaborium.dset"):
        stim = load(path)["stim"].float()
        assert abs(float(stim.mean()) - 127) < 1.5
        assert stim.std() > 20


def test_the_dataset_config_opens(all_types: SimulationReport) -> None:
    specs = load_dataset_configs(all_types.dataset, data_root=None, types=None, max_datasets=None)
    opened = open_sessions(specs, 14)
    assert [session.name for session in opened] == [entry["session"] for entry in all_types.facts["sessions"]]
    for session in opened:
        assert (session.n_units, session.behavior_dim, session.has_rate_true) == (6, 42, True)
        assert len(session.segments("train")) > len(session.segments("val")) > 0


@pytest.mark.parametrize("rate", [60.0, 120.0, 240.0])
def test_behaviour_keeps_its_duration_at_other_rates(rate: float) -> None:
    config = files.dataset_config(SimulationConfig(rate=rate), ["a"])
    basis = config["transforms"]["eye_vel"]["ops"][3]["temporal_basis"]
    assert basis["history_bins"] * basis["bin_size_ms"] == pytest.approx(250)
    assert len(config["keys_lags"]["stim"]) == round(14 * rate / 120)


def test_same_seed_same_bytes_whatever_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    simulate(tmp_path / "a", TINY)
    assert torch.get_num_threads() == threads, "the caller's threads are put back"
    monkeypatch.setattr(sessions, "_cores", lambda: 1)
    torch.set_num_threads(1)
    simulate(tmp_path / "b", TINY)
    torch.set_num_threads(threads)
    code = (
        "import sys; from pathlib import Path; from vctrain.config.simulation import SimulationConfig;"
        "from vctrain.data.simulation import simulate;"
        "simulate(Path(sys.argv[1]), SimulationConfig.model_validate_json(sys.argv[2]))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code, str(tmp_path / "c"), TINY.model_dump_json()]
    subprocess.run(command, env=environment, check=True, timeout=120)
    first = digests(tmp_path / "a")
    assert len(first) == 2 * 4 + 2 + 2
    assert first == digests(tmp_path / "b") == digests(tmp_path / "c")
    simulate(tmp_path / "d", TINY.model_copy(update={"seed": 1}))
    other = digests(tmp_path / "d")
    assert all(first[name] != other[name] for name in first if name.endswith((".dset", "simulation.json")))


def test_a_further_type_leaves_the_screen_of_others_alone(tmp_path: Path) -> None:
    for name, kinds in (("one", ("gaborium",)), ("two", ("gaborium", "backimage"))):
        # As many minutes of gaborium in both.
        config = TINY.model_copy(update={"types": kinds, "minutes": 0.1 * len(kinds), "sessions": 1})
        simulate(tmp_path / name, config)
    one, two = (load(next((tmp_path / name).glob("*/gaborium.dset"))) for name in ("one", "two"))
    assert torch.equal(one["stim"], two["stim"])
    assert torch.equal(one["eyepos"], two["eyepos"])


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("kept")
    with pytest.raises(UsageError, match="not an empty folder"):
        simulate(out, TINY)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "precious.txt"]
    with pytest.raises(UsageError, match="not an empty folder"):
        simulate(out / "precious.txt", TINY)


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    simulate(tmp_path / "out", TINY.model_copy(update={"minutes": 0.1, "sessions": 1}))
    assert (tmp_path / "out" / "simulation.json").is_file()


def test_failing_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(FaultError, match="No space left"):
        simulate(tmp_path / "out", TINY.model_copy(update={"minutes": 0.1, "sessions": 1}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("size", "rate"), [(16, 20.0), (51, 60.0), (24, 240.0)])
def test_other_sizes_and_rates(tmp_path: Path, size: int, rate: float) -> None:
    config = SimulationConfig(sessions=1, units=4, minutes=0.3, size=size, rate=rate)
    report = simulate(tmp_path / "out", config)
    covariates = load(next((tmp_path / "out").glob("*/backimage.dset")))
    assert covariates["stim"].shape == (round(9 * rate), size, size)
    assert np.isfinite(report.oracle)


def test_facts_are_on_disk(all_types: SimulationReport) -> None:
    facts = json.loads((all_types.out / "simulation.json").read_text())
    assert facts == all_types.facts
    assert facts["settings"]["seed"] == 3
    assert str(all_types.out) not in json.dumps(facts)


@pytest.mark.parametrize(
    "wrong", [{"types": ()}, {"types": ("gaborium", "gaborium")}, {"rate": 5}, {"size": 8}, {"minutes": 0}]
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimulationConfig(**wrong)
