"""`doctor` tells what is wrong with each recording and how long a run takes, and creates no run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from made_sessions import MODEL, SETTINGS

from vctrain import cli


def config_file(path: Path) -> Path:
    """The settings of the small twin as a file."""
    content: dict = {}
    for dotted, value in {"model": MODEL, **SETTINGS}.items():
        *sections, key = dotted.split(".")
        inner = content
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
    path.write_text(yaml.safe_dump(content))
    return path


def call(capsys, *arguments: str) -> tuple[int, dict, str]:
    with pytest.raises(SystemExit) as caught:
        cli.main(["doctor", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), json.loads(out) if "--json" in arguments else {}, out + err


def test_the_machine_alone(capsys) -> None:
    code, said, _ = call(capsys, "--json")
    assert code == 0
    assert [check["name"] for check in said["checks"]][:2] == ["versions", "devices"]
    assert said["estimate"] is None


def test_a_good_run_has_an_estimate(capsys, tiny_data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(config_file(tmp_path / "mine.yaml"))
    code, said, _ = call(capsys, "--config", config, "--data", str(tiny_data), "--accelerator", "cpu", "--json")
    assert code == 0
    assert {check["state"] for check in said["checks"] if check["name"] in ("recordings", "steps", "disk")} == {"ok"}
    estimate = said["estimate"]
    assert estimate["steps"] == 18
    expected = (18 * estimate["step_seconds"] + 3 * estimate["validation_seconds"]) / 3600
    assert estimate["hours"] == pytest.approx(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]


def test_each_bad_recording_is_told(capsys, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data.parent, tmp_path / "data")
    for place, name in enumerate(("SimA_2024-01-01", "SimB_2024-01-02")):
        path = tmp_path / "data" / name / "gaborium.dset"
        content = torch.load(path, weights_only=True)
        if place == 0:
            content["covariates"]["robs"][5] = -1
        else:
            del content["covariates"]["stim"]
        torch.save(content, path)
    config = str(config_file(tmp_path / "mine.yaml"))
    asked = ("--config", config, "--data", str(tmp_path / "data" / tiny_data.name), "--accelerator", "cpu")
    code, said, _ = call(capsys, *asked, "--json")
    assert (code, said["ok"], said["error"]["code"]) == (3, False, 3)
    failed = [check["name"] for check in said["checks"] if check["state"] == "fail"]
    assert failed == ["session SimA_2024-01-01", "session SimB_2024-01-02"]
    code, _, shown = call(capsys, *asked)
    assert code == 3
    assert "FAIL  session SimB_2024-01-02: " in shown


def test_a_run_is_looked_at_with_its_own_settings(capsys, tiny_run) -> None:
    code, said, _ = call(capsys, str(tiny_run.folder), "--json")
    assert (code, said["estimate"]["steps"]) == (0, 18)
    assert call(capsys, str(tiny_run.folder), "--seed", "3")[0] == 2
    assert call(capsys, "--data", "somewhere")[0] == 2
