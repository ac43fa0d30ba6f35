"""`finetune` and `modulator-only` from the command line: what they print and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vctrain import cli, console

SMALL = ("trainer.max_epochs=1", "trainer.steps_per_epoch=2", "data.batch_clips=4", "init.map_minutes=0.1")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments, "--json"])
    console.log_to(None)
    console.configure()
    return int(leaving.value.code or 0), json.loads(capsys.readouterr().out)


def sets(*more: str) -> list[str]:
    return [word for text in (*SMALL, *more) for word in ("--set", text)]


def test_finetune_takes_settings_and_recordings_from_the_checkpoint(tiny_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = call(capsys, "finetune", str(tiny_run.folder), "--freeze-vision", "--run-dir", "tuned", *sets())
    assert code == 0, said
    assert said["command"] == "finetune"
    assert said["vision"]["loaded"] == said["vision"]["frozen"] > 0
    assert said["vision"]["unchanged_at_end"] is True
    assert said["tensors"]["loaded"] == said["tensors"]["of"]
    code, again = call(capsys, "eval-bps", "tuned")
    assert again["bps_overall"] == pytest.approx(said["val_bps_overall"], abs=1e-12)
    config = (tmp_path / "tuned" / "config.yaml").read_text()
    assert "optim" in config
    assert f"# checkpoint {tiny_run.checkpoints / 'best.ckpt'}" in config


def test_a_name_says_that_a_run_was_finetuned(tiny_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = call(capsys, "finetune", str(tiny_run.folder), "--freeze", "core", "--dry-run", *sets())
    assert code == 0, said
    assert said["run"].startswith("runs/finetune-")
    assert list(tmp_path.iterdir()) == []


def test_features_are_kept_and_said_before_and_after(tiny_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    asked = ["finetune", str(tiny_run.folder), "--freeze-vision", "--cache-features", *sets()]
    code, planned = call(capsys, *asked, "--dry-run")
    assert code == 0, planned
    features = planned["features"]
    assert features["written"] == features["bytes"] > 0
    assert features["folder"] == str(tmp_path / "cache" / "vctrain" / "features")
    assert any(f"{features['bytes']:,} bytes are to be written" in note for note in planned["notes"])
    code, said = call(capsys, *asked, "--run-dir", "tuned")
    assert code == 0, said
    assert said["features"] == features
    code, said = call(capsys, *asked, "--run-dir", "again")
    assert said["features"] == {**features, "written": 0, "reused": features["bytes"]}


def test_from_scratch_beside_it(tiny_run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = call(capsys, "finetune", str(tiny_run.folder), "--compare-scratch", "--run-dir", "tuned", *sets())
    assert code == 0, said
    assert said["scratch"]["run"] == "tuned-scratch"
    assert said["scratch"]["steps"] == said["steps"]
    assert "tensors" not in said["scratch"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.ckpt"], 3, "no such checkpoint"),
        (["RUN", "--freeze", "nothing/like/it"], 2, "--freeze nothing/like/it: no parameter matches"),
        (["RUN", "--add-session", "Nobody_1"], 2, "--add-session Nobody_1"),
        (["RUN", "--cache-features"], 2, "--cache-features: the adapter would learn of session SimA_2024-01-01"),
    ],
)
def test_refusals_create_nothing(tiny_run, tmp_path, monkeypatch, capsys, arguments, code, message) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(tiny_run.folder) if word == "RUN" else word for word in arguments]
    found, said = call(capsys, "finetune", *given, *sets())
    assert (found, said["ok"]) == (code, False)
    assert message in said["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_modulator_only_trains_without_a_stimulus(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = sets("model.modulator.hidden=4", "data.clip_frames=16", "trainer.precision=32-true")
    code, said = call(
        capsys, "modulator-only", "--preset", "gaborium", "--data", str(tiny_data), "--run-dir", "run", *chosen
    )
    assert code == 0, said
    assert said["command"] == "modulator-only"
    code, again = call(capsys, "eval-bps", "run")
    assert again["bps_overall"] == pytest.approx(said["val_bps_overall"], abs=1e-12)
    code, refused = call(capsys, "modulator-only", "--preset", "gaborium", *sets("model=twin_small"))
    assert code == 2
    assert "reads the stimulus" in refused["error"]["message"]
