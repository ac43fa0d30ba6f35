"""A migrated checkpoint is a twin like any other: it is evaluated, and trained on, through the same commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from data.made_recordings import covariates, write

from vctrain import cli, console
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.contract import open_for_checkpoint
from vctrain.metrics.bps import PoissonSums
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.runs.checkpoints import read_checkpoint

FIXTURE = (
    Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "legacy" / "d03_active_gaborium_resnet_convgrumod"
)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments, "--json"])
    console.log_to(None)
    console.configure()
    said = capsys.readouterr()
    assert leaving.value.code == 0, said.err
    result: dict[str, Any] = json.loads(said.out)
    return result


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Recordings of the sessions of an old checkpoint, with its dataset configs; nine units, 21x21 pixels, 240 Hz."""
    if not FIXTURE.is_dir():
        pytest.skip(f"no checkpoint of the earlier system in {FIXTURE}")
    folder = tmp_path / "configs"
    shutil.copytree(FIXTURE / "dataset_configs", folder)
    for seed, path in enumerate(sorted(folder.glob("*.yaml"))):
        config = yaml.safe_load(path.read_text())
        for number, kind in enumerate(config["types"]):
            content = covariates((240,) * 10, units=9, size=(21, 21), seed=10 * seed + number, rate=240.0)
            content["eyepos"] *= 0.05
            write(folder / config["session"] / f"{kind}.dset", content)
    return folder


@pytest.fixture
def migrated(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (old,) = FIXTURE.glob("*.ckpt")
    model = ["--model-config", str(FIXTURE / "model_config.yaml"), "--dataset-configs", str(recorded)]
    check = ["--check", str(FIXTURE / "expected.npz"), "-o", str(tmp_path / "old.pt")]
    said = call(capsys, "migrate-ckpt", str(old), *model, *check)
    assert said["check"]["max_rel"] < 1e-5
    return tmp_path / "old.pt"


def test_it_scores_what_its_windows_predict(migrated: Path, recorded: Path, capsys) -> None:
    """The figure of eval-bps is that of every frame's own window, newest frame first, through the old network."""
    said = call(capsys, "eval-bps", str(migrated), "--data", str(recorded))
    checkpoint = read_checkpoint(migrated)
    twin = checkpoint.build()
    assert isinstance(twin, LegacyTwin)
    specs = load_dataset_configs(recorded)
    opened = open_for_checkpoint(specs, checkpoint.sessions, twin.context, all_required=True).sessions
    for session in opened:
        sums = PoissonSums.zeros(session.n_units)
        scored = session.scored("val")
        starts = scored.at(torch.arange(scored.total).numpy())
        with torch.no_grad():
            for piece in (starts[i : i + 64] for i in range(0, len(starts), 64)):
                clips = session.gather(piece, frames=1)
                assert clips.stim is not None
                windows = ((clips.stim.float() - 127) / 255).flip(1)[:, None]
                rates = twin.forward_windows(session.index, windows, clips.behavior[:, -1], None)
                sums += PoissonSums.of(rates, clips.robs[:, 0], clips.dfs[:, 0])
        expected = sums.bits_per_spike().tolist()
        assert list(said["sessions"][session.name]["units"].values()) == pytest.approx(expected, abs=1e-5)


def test_it_is_fine_tuned_and_the_result_evaluates(
    migrated: Path, recorded: Path, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("trainer.max_epochs=1", "trainer.steps_per_epoch=3", "data.batch_clips=4", "data.clip_frames=6")
    sets = [word for text in (*small, "trainer.accelerator=cpu") for word in ("--set", text)]
    said = call(
        capsys, "finetune", str(migrated), "--data", str(recorded), "--freeze-vision", "--run-dir", "run", *sets
    )
    assert said["tensors"]["loaded"] == said["tensors"]["of"]
    assert said["vision"]["unchanged_at_end"] is True
    again = call(capsys, "eval-bps", "run")
    assert again["bps_overall"] == pytest.approx(said["val_bps_overall"], abs=1e-9)
    old, new = read_checkpoint(migrated).weights, read_checkpoint("run").weights
    assert all(torch.equal(old[n], new[n]) for n in old if n.startswith(("frontend", "convnet", "adapters")))
    assert any(not torch.equal(old[n], new[n]) for n in old if n.startswith("modulator"))


def test_it_says_that_it_does_not_know_its_recordings(migrated: Path, capsys) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["eval-bps", str(migrated)])
    console.configure()
    assert leaving.value.code == 3
    said = capsys.readouterr().err
    assert "it does not say where its recordings are" in said
    assert "--data" in said


def test_its_units_are_analysed(migrated: Path, recorded: Path, capsys) -> None:
    """A session without the stimulus of an analysis is left out; a type that none has is refused."""
    data = ("--data", str(recorded))
    said = call(capsys, "analyze", "sta", str(migrated), *data, "--lags", "6", "--split", "val")
    (session,) = said["sessions"]
    assert session == "Allen_2022-01-03"
    assert list(said["sessions"][session]["units"]) == ["0", "2", "3", "5", "6", "8"]
    assert "not in the data, left out: Logan_2020-01-05" in said["notes"]
    few = ("--in-silico", "--directions", "4", "--frequencies", "2", "--hertz", "20", "--cids", "1")
    said = call(capsys, "analyze", "tuning", str(migrated), *data, *few)
    assert list(said["sessions"]) == ["Logan_2020-01-05"]
    assert said["sessions"]["Logan_2020-01-05"]["units"]["1"]["grey_hz"] > 0
    quick = ("--steps", "3", "--starts", "1", "--references", "5", "--cids", "1", "--contrast", "0.1")
    said = call(capsys, "analyze", "mei", str(migrated), *data, *quick)
    row = said["sessions"]["Logan_2020-01-05"]["units"]["1"]
    assert row["rms_contrast"] == pytest.approx(0.1, rel=1e-3)
    assert row["exceeds"] == (row["response_hz"] > max(row["reference_hz"], row["grey_hz"]) * (1 + 1e-6))
    with pytest.raises(SystemExit) as leaving:
        cli.main(["analyze", "tuning", str(migrated), *data])
    console.configure()
    assert leaving.value.code == 3
    assert "has a recording of gratings" in capsys.readouterr().err
