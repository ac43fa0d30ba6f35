"""Bad input is one line that names it, the right exit code, and nothing created: through the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_sessions import MODEL, SETTINGS

from vctrain import cli, console

SESSION = "SimB_2024-01-02"


def _covariates(change: Callable[[dict[str, Any]], Any], kind: str = "gaborium") -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / SESSION / f"{kind}.dset"
        content = torch.load(path, weights_only=True)
        change(content["covariates"])
        torch.save(content, path)

    return spoil


def _truncate(folder: Path) -> None:
    path = folder / SESSION / "gaborium.dset"
    path.write_bytes(path.read_bytes()[:-5000])


def _config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "sessions" / f"{SESSION}.yaml"
        content = yaml.safe_load(path.read_text())
        change(content)
        path.write_text(yaml.safe_dump(content))

    return spoil


def _nothing(folder: Path) -> None:
    pass


def _set(name: str, index: Any, value: float) -> Callable[[dict[str, Any]], None]:
    return lambda covariates: covariates[name].__setitem__(index, value)


# name: (what is spoilt, further arguments, exit code, what the one line says)
CASES: dict[str, tuple[Callable[[Path], None], list[str], int, list[str]]] = {
    "missing file": (lambda f: (f / SESSION / "backimage.dset").unlink(), [], 3, [SESSION, "backimage"]),
    "truncated file": (_truncate, [], 3, [SESSION, "gaborium.dset"]),
    "NaN in robs": (_covariates(_set("robs", (30, 2), float("nan"))), [], 3, [SESSION, "robs", "nan", "30"]),
    "not a tensor": (_covariates(lambda c: c.update(robs=[1, 2])), [], 3, ["gaborium.dset", "robs"]),
    "wrong length": (_covariates(lambda c: c.update(eyepos=c["eyepos"][:-7])), [], 3, [SESSION, "eyepos"]),
    "wrong type": (_covariates(lambda c: c.update(stim=c["stim"].float())), [], 3, [SESSION, "stim", "uint8"]),
    "cid not there": (_config(lambda c: c.update(cids=[0, 9])), [], 3, [SESSION, "9"]),
    "unknown key in a session": (_config(lambda c: c.update(cidz=[0])), [], 2, [f"{SESSION}.yaml", "cidz", "cids"]),
    "unknown type": (_nothing, ["--types", "gaborum"], 3, ["gaborum"]),
    "unknown key of a run": (_nothing, ["--set", "model.frontend.kernal_size=3"], 2, ["kernal_size", "kernel_size"]),
    "unknown section": (_nothing, ["--set", "optimm.lr=1"], 2, ["optimm", "optim"]),
    "bad value": (_nothing, ["--set", "optim.lr=fast"], 2, ["optim.lr"]),
    "unknown preset": (_nothing, ["--preset", "gaborum"], 2, ["gaborum", "gaborium"]),
    "existing run directory": (_nothing, ["--run-dir", "taken"], 2, ["taken"]),
    "batch of one clip": (_nothing, ["--set", "data.batch_clips=1"], 2, ["batch_clips"]),
    "no data there": (_nothing, ["--data", "nowhere.yaml"], 2, ["nowhere.yaml"]),
}


def _no_valid_frame(folder: Path) -> None:
    for kind in ("gaborium", "backimage"):
        _covariates(lambda c: c["dpi_valid"].zero_(), kind)(folder)


CASES["no valid frame"] = (_no_valid_frame, [], 3, [SESSION, "no valid frame"])


@pytest.fixture
def place(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny sessions, a config of the tiny twin, and an empty folder to work in."""
    shutil.copytree(tiny_data.parent, tmp_path / "sessions")
    config: dict[str, Any] = {"model": MODEL}
    for dotted, value in SETTINGS.items():
        section, _, key = dotted.rpartition(".")
        (config.setdefault(section, {}) if section else config)[key] = value
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "work" / "taken").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "VCTRAIN_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    console.configure()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() or path.is_dir()
    }


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return int(caught.value.code or 0)


@pytest.mark.parametrize("case", list(CASES))
def test_bad_input_is_one_line_and_changes_nothing(place: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    spoil, more, code, says = CASES[case]
    spoil(place / "sessions")
    data = [] if "--data" in more else ["--data", str(place / "sessions" / "dataset.yaml")]
    arguments = ["train", "--config", str(place / "tiny.yaml"), *data, *more]
    before = listing(place)
    assert end_of(*arguments) == code
    out, err = capfd.readouterr()
    lines = err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert out == ""
    assert len(errors) == 1, err
    assert lines[-1].startswith("hint: ")
    assert "Traceback" not in err
    assert [word for word in says if word not in " ".join(lines[lines.index(errors[0]) :])] == []
    assert end_of(*arguments, "--json") == code
    out, err = capfd.readouterr()
    shown = json.loads(out)
    assert (shown["ok"], shown["command"], shown["error"]["code"]) == (False, "train", code)
    assert shown["error"]["message"] == errors[0].removeprefix("error: ")
    assert shown["error"]["hint"]
    assert listing(place) == before


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [("nowhere", 3, "nowhere"), ("taken", 3, "taken"), ("../tiny.yaml", 3, "tiny.yaml")],
)
def test_what_is_no_checkpoint_is_one_line(place: Path, target: str, code: int, says: str, capfd: Any) -> None:
    before = listing(place)
    assert end_of("eval-bps", target, "--json") == code
    out, err = capfd.readouterr()
    assert says in json.loads(out)["error"]["message"]
    assert "Traceback" not in err
    assert listing(place) == before


def test_the_same_arguments_train_when_nothing_is_spoilt(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Else every case above might fail for a reason of its own."""
    arguments = ["train", "--config", str(place / "tiny.yaml"), "--data", str(place / "sessions" / "dataset.yaml")]
    shorter = ["--set", "trainer.max_epochs=1", "--set", "trainer.steps_per_epoch=1", "--run-dir", "new"]
    assert end_of(*arguments, *shorter, "--json") == 0
    out, _ = capfd.readouterr()
    shown = json.loads(out)
    assert (shown["ok"], shown["command"], shown["steps"]) == (True, "train", 1)
    assert Path(shown["checkpoint"]).is_file()
    assert end_of("eval-bps", "new", "--json") == 0
    assert json.loads(capfd.readouterr().out)["bps_overall"] == pytest.approx(shown["val_bps_overall"], abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--preset", "checkerboard"), "simulated sessions have no checkerboard"),
        (("train", "--preset", "gaborium", "--types", "fixrsvp"), "simulated sessions have no fixrsvp"),
        (("train", "--preset", "gaborium", "--types", ","), "--types names no type"),
        (("train", "--preset", "gaborium", "--set", "optim.lr=.inf"), "optim.lr"),
        (("train", "--preset", "gaborium", "--set", "optim.betas=[2, 3]"), "optim.betas"),
        (("simulate", "out", "--minutes", "inf"), "--minutes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(arguments, message, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as leaving:
        cli.main(list(arguments))
    console.configure()
    said = capsys.readouterr().err.splitlines()
    assert leaving.value.code == 2, said
    assert message in said[-2] or message in said[-1]
    assert list(tmp_path.iterdir()) == []
