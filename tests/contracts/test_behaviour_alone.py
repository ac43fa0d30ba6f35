"""A twin of behaviour alone needs no stimulus, and does not look at one; every other twin does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vctrain import cli, console
from vctrain.config.datasets import load_dataset_configs
from vctrain.data import recordings
from vctrain.data.movies import Movie
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session

SMALL = ("trainer.max_epochs=1", "trainer.steps_per_epoch=3", "data.batch_clips=4", "data.clip_frames=16",
         "trainer.precision=32-true", "trainer.accelerator=cpu", "model.modulator.hidden=4")  # fmt: skip


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments, "--json"])
    console.log_to(None)
    console.configure()
    said = capsys.readouterr()
    return int(leaving.value.code or 0), json.loads(said.out), said.err


def sets(*more: str) -> list[str]:
    return [word for text in (*SMALL, *more) for word in ("--set", text)]


def altered(data: Path, folder: Path, change: Any) -> Path:
    """The recordings of `data` with another, or without a, `stim`."""
    import shutil

    shutil.copytree(data.parent, folder)
    for path in folder.rglob("*.dset"):
        content = torch.load(path, weights_only=True)
        change(content["covariates"])
        torch.save(content, path)
    return folder / data.name


def without(covariates: dict[str, torch.Tensor]) -> None:
    del covariates["stim"]


def unusable(covariates: dict[str, torch.Tensor]) -> None:
    covariates["stim"] = torch.full((3, 2), torch.nan)


def other(covariates: dict[str, torch.Tensor]) -> None:
    covariates["stim"] = 255 - covariates["stim"]


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever turns a movie into an array, or reads clips of one, fails."""
    real = recordings._array

    def array(tensor: torch.Tensor) -> NDArray[Any]:
        assert tensor.ndim != 3, "a movie was looked at"
        return real(tensor)

    def refuse(*_: object) -> None:
        raise AssertionError("a movie was read")

    monkeypatch.setattr(recordings, "_array", array)
    monkeypatch.setattr(Movie, "clips", refuse)
    monkeypatch.setattr(Session, "frame", refuse)


def figures(said: dict[str, Any]) -> dict[str, Any]:
    return {key: said[key] for key in ("val_bps_overall", "val_bps", "oracle_bps_overall")}


@pytest.mark.usefixtures("unseen")
def test_it_trains_evaluates_and_is_inspected_without_any_movie(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    """The same figures with a movie, without one, and with one that no other twin would take."""
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, change in (("whole", lambda covariates: None), ("without", without), ("unusable", unusable)):
        data = altered(tiny_data, tmp_path / name / "data", change)
        asked = ["modulator-only", "--preset", "gaborium", "--data", str(data), "--run-dir", f"{name}/run", *sets()]
        code, said, _ = call(capsys, *asked)
        assert code == 0, said
        found[name] = figures(said)
        code, again, err = call(capsys, "eval-bps", f"{name}/run")
        assert code == 0, again
        assert again["bps_overall"] == pytest.approx(said["val_bps_overall"], abs=1e-12)
        assert "other recordings" not in err
        code, inspected, err = call(capsys, "inspect", f"{name}/run")
        assert code == 0, inspected
        assert inspected["problems"] == []
        assert [session["size"] for session in inspected["checkpoint"]["sessions"]] == [None, None]
    assert found["without"] == found["whole"] == found["unusable"]
    # trained where there is a movie, used where there is none, and the other way about
    code, said, err = call(
        capsys, "eval-bps", "whole/run", "--data", str(tmp_path / "without" / "data" / tiny_data.name)
    )
    assert code == 0, said
    assert "other recordings" not in err
    assert said["bps_overall"] == pytest.approx(found["whole"]["val_bps_overall"], abs=1e-12)


@pytest.mark.usefixtures("unseen")
def test_it_is_fine_tuned_without_a_movie(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    data = altered(tiny_data, tmp_path / "data", without)
    code, said, _ = call(
        capsys, "modulator-only", "--preset", "gaborium", "--data", str(data), "--run-dir", "run", *sets()
    )
    assert code == 0, said
    code, said, _ = call(capsys, "finetune", "run", "--freeze", "modulator", "--run-dir", "tuned", *sets())
    assert code == 0, said
    assert said["tensors"]["loaded"] == said["tensors"]["of"]


@pytest.mark.parametrize("command", ["train", "finetune", "eval-bps"])
def test_every_other_twin_needs_it(tiny_run, tiny_data, tmp_path, monkeypatch, capsys, command) -> None:
    monkeypatch.chdir(tmp_path)
    data = str(altered(tiny_data, tmp_path / "data", without))
    chosen = [word for text in SMALL[:-1] for word in ("--set", text)]
    code, said, _ = call(
        capsys,
        *{
            "train": ["train", "--preset", "gaborium", "--data", data, *chosen],
            "finetune": ["finetune", str(tiny_run.folder), "--data", data, *chosen],
            "eval-bps": ["eval-bps", str(tiny_run.folder), "--data", data],
        }[command],
    )
    assert code == 3
    assert "covariate stim is missing" in said["error"]["message"]
    assert "modulator-only" in said["error"]["hint"]


def test_a_recording_of_other_behaviour_is_still_told_apart(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    """And one whose movie alone differs is the same to such a twin."""
    monkeypatch.chdir(tmp_path)
    asked = ["modulator-only", "--preset", "gaborium", "--data", str(tiny_data), "--run-dir", "run", *sets()]
    assert call(capsys, *asked)[0] == 0

    def moved(covariates: dict[str, torch.Tensor]) -> None:
        covariates["eyepos"] = covariates["eyepos"] + 0.25

    assert "other recordings" not in notes(capsys, altered(tiny_data, tmp_path / "a", other))
    assert "other recordings than those trained on" in notes(capsys, altered(tiny_data, tmp_path / "b", moved))


def notes(capsys: pytest.CaptureFixture[str], data: Path) -> str:
    code, said, _ = call(capsys, "eval-bps", "run", "--data", str(data))
    assert code == 0, said
    return " ".join(said["notes"])


def test_contrast_of_a_movie_that_is_not_read_is_refused(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["modulator-only", "--preset", "gaborium", "--data", str(tiny_data), *sets("data.curriculum={}")]
    code, said, _ = call(capsys, *asked)
    assert code == 2
    assert "data.curriculum goes by the stimulus" in said["error"]["message"]


def test_one_pixel_of_mean_grey_stands_for_the_movie(tiny_data) -> None:
    (session, _) = open_sessions(load_dataset_configs(tiny_data), 3, stim=False)
    assert (session.height, session.width, session.describe()["size"]) == (1, 1, None)
    assert all("stim" not in recording for recording in session.recordings)
    assert np.array_equal(session.frame(7), [[127]])
