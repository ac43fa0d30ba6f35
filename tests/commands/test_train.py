"""Does `train` resolve, refuse, simulate, describe and show as promised, around the one call into training?"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from vctrain import cli, console, presets
from vctrain.errors import ContractError, FaultError
from vctrain.runs import directory

RESULT = {
    "run": "runs/x",
    "checkpoint": "runs/x/checkpoints/best.ckpt",
    "val_bps_overall": 0.5,
    "val_bps": {"SimA_2024-01-01": 0.4, "SimB_2024-01-02": None},
    "oracle_bps_overall": 0.8,
    "fraction_of_oracle": 0.625,
    "steps": 10,
    "seconds": 3.2,
}
DESCRIBED = {
    "sessions": [{"name": "a", "units": 3, "frames": 100, "train_frames": 80, "val_frames": 20, "clips": 4}],
    "parameters": {"core": 1000, "head": 20},
    "context": 15,
    "steps": 6400,
}
RECIPE = """\
description: For tests
seed: 2
overlays: {quick: {trainer: {max_epochs: 2, steps_per_epoch: 5}}}
"""


@pytest.fixture
def core(monkeypatch, tmp_path):
    """Stand-ins for what `train` calls, which keep the arguments of their last call."""
    (tmp_path / "presets" / "models").mkdir(parents=True)
    (tmp_path / "presets" / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(presets, "FOLDER", tmp_path / "presets")
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in ("RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "empty")
    calls = types.SimpleNamespace(trained=None, simulated=None, gpu=False)

    fit = types.ModuleType("vctrain.training.fit")

    def train(settings, *, run_dir, provenance, argv):
        calls.trained = types.SimpleNamespace(settings=settings, run_dir=run_dir, provenance=provenance, argv=argv)
        return RESULT

    fit.train = train
    plan = types.ModuleType("vctrain.training.plan")
    plan.describe = lambda settings: DESCRIBED
    engine = types.ModuleType("vctrain.training.engine")

    def resolve_accelerator(name):
        if name == "gpu" and not calls.gpu:
            raise FaultError("no GPU here", hint="use the CPU")
        return "gpu" if calls.gpu else "cpu"

    engine.resolve_accelerator, engine.check_devices = resolve_accelerator, lambda *arguments: None
    training = types.ModuleType("vctrain.training")
    training.fit, training.plan, training.engine = fit, plan, engine
    for module in (training, fit, plan, engine):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    from vctrain.data.simulation import cache

    def simulate(out, settings, on_progress=None):
        calls.simulated = settings
        out.mkdir()
        (out / "dataset.yaml").write_text("sessions: []\n")
        on_progress("simulated session 1 of 1")

    monkeypatch.setattr(cache, "simulate", simulate)
    yield calls
    console.configure()


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", *arguments])
    return int(caught.value.code or 0)


def test_settings_of_all_layers_reach_training(core, tmp_path, capsys):
    file = tmp_path / "my.yaml"
    file.write_text("optim: {lr: 0.25, weight_decay: 0.125}\n")
    arguments = ["--preset", "recipe", "--config", str(file), "--set", "optim.lr=0.5", "--data", "d.yaml"]
    arguments += ["--data-root", "root", "--types", "gaborium,backimage", "--devices", "2", "--accelerator", "cpu"]
    assert end_of(*arguments, "--seed", "7", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"ok": True, "command": "train", **RESULT}
    settings = core.trained.settings
    assert (settings.optim.lr, settings.optim.weight_decay, settings.seed) == (0.5, 0.125, 7)
    assert (settings.data.path, settings.data.root) == ("d.yaml", "root")
    assert settings.data.types == ("gaborium", "backimage")
    assert (settings.trainer.devices, settings.trainer.accelerator) == (2, "cpu")
    assert settings.trainer.max_epochs == 100
    assert core.simulated is None
    assert core.trained.provenance["optim.lr"] == "--set"
    assert core.trained.provenance["data.path"] == "--data"
    assert core.trained.run_dir.parent == Path("runs")
    assert "quick" not in err


def test_without_data_sessions_are_simulated_once_and_the_quick_overlay_is_announced(core, capsys):
    assert end_of("--preset", "recipe", "--set", "trainer.steps_per_epoch=9") == 0
    out, err = capsys.readouterr()
    settings = core.trained.settings
    assert (settings.trainer.max_epochs, settings.trainer.steps_per_epoch) == (2, 9)
    assert Path(settings.data.path).is_file()
    assert core.trained.provenance["data.path"] == "simulated"
    assert core.simulated == settings.simulation
    assert "overlay quick applies (trainer.max_epochs 100 -> 2)" in err
    assert "simulating them into" in err
    assert "62.5 % of the oracle's 0.8000" in out
    assert "SimA_2024-01-01   0.4000" in out
    core.simulated = None
    assert end_of("--preset", "recipe") == 0
    assert core.simulated is None
    assert "using those in" in capsys.readouterr().err


def test_with_a_gpu_the_whole_recipe_runs(core, capsys):
    core.gpu = True
    assert end_of("--preset", "recipe") == 0
    assert core.trained.settings.trainer.max_epochs == 100
    assert "quick" not in capsys.readouterr().err


def test_a_dry_run_creates_nothing_and_shows_where_settings_come_from(core, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert end_of("--preset", "recipe", "--dry-run") == 0
    out, _ = capsys.readouterr()
    assert "SimA_2024-01-01" in out
    assert end_of("--preset", "recipe", "--data", "d.yaml", "--dry-run", "--set", "seed=5") == 0
    out, _ = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert ["seed", "5", "--set"] in lines
    assert ["preset", '"recipe"', "--preset"] in lines
    assert ["a", "3", "100", "80", "20", "4"] in lines
    assert "1,020" in out
    assert end_of("--preset", "recipe", "--data", "d.yaml", "--dry-run", "--json") == 0
    out, _ = capsys.readouterr()
    plan = json.loads(out)
    assert plan["ok"] is True
    assert plan["settings"]["seed"] == 2
    assert plan["provenance"]["seed"] == "preset recipe"
    assert plan["sessions"] == DESCRIBED["sessions"]
    assert core.trained is None
    assert core.simulated is None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("chosen", "types"), [(["--types", "gaborium"], 1), (["--types", "gaborium,backimage"], 2)])
def test_a_dry_run_before_simulation_counts_the_frames_of_the_chosen_types(core, chosen, types, capsys):
    assert end_of("--preset", "recipe", *chosen, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {session["frames"] for session in plan["sessions"]} == {types * 28800}


def test_an_existing_run_directory_is_refused_before_anything_is_simulated(core, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert end_of("--preset", "recipe", "--run-dir", str(tmp_path / "empty")) == 2
    assert "exists" in capsys.readouterr().err
    assert core.simulated is None
    assert core.trained is None
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_gpu_is_told_before_anything_is_simulated(core, tmp_path, capsys):
    assert end_of("--preset", "recipe", "--accelerator", "gpu", "--json") == 5
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "no GPU here"
    assert core.simulated is None


def test_errors_of_the_core_come_out_whole(core, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise ContractError("NaN in robs of s.dset", hint="repair it")

    monkeypatch.setattr(sys.modules["vctrain.training.fit"], "train", fail)
    assert end_of("--preset", "recipe", "--data", "d.yaml", "--json") == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == {"code": 3, "message": "NaN in robs of s.dset", "hint": "repair it"}
    assert err == "error: NaN in robs of s.dset\nhint: repair it\n"
    assert not Path("runs").exists()


def test_the_planned_directory_can_be_created(core, capsys):
    assert end_of("--preset", "recipe", "--data", "d.yaml", "--quiet") == 0
    asked = core.trained
    made = directory.create_run_dir(asked.run_dir, asked.settings, asked.provenance, asked.argv)
    assert (made / "run.json").is_file()
    capsys.readouterr()
