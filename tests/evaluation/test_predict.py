"""Predicted rates in a file: the very numbers that figures come from, each frame once and in order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vctrain import cli
from vctrain.data.dset import open_dset
from vctrain.errors import UsageError
from vctrain.evaluation.evaluate import Question, evaluate
from vctrain.evaluation.predict import predict
from vctrain.metrics.poisson import bits_per_spike

CPU = "cpu"


@pytest.mark.parametrize("split", ["val", "all"])
def test_figures_from_the_file_are_those_of_eval_bps(tiny_run, tmp_path: Path, split: str) -> None:
    result = predict(str(tiny_run.folder), Question(split=split, accelerator=CPU), tmp_path / "rates.npz")
    shown = evaluate(str(tiny_run.folder), split=split, accelerator=CPU, replicates=0)
    with np.load(tmp_path / "rates.npz") as stored:
        for name, session in shown["sessions"].items():
            own = {key.partition("/")[2]: stored[key] for key in stored.files if key.startswith(f"{name}/")}
            valid, rhat, robs = own["dfs"], own["rhat"].astype(float), own["robs"].astype(float)
            logs = robs * np.log(np.maximum(rhat, 1e-8)) * valid
            sums = np.stack([valid.sum(0), (robs * valid).sum(0), (rhat * valid).sum(0), logs.sum(0)]).astype(float)
            expected = [session["units"][str(cid)] for cid in own["cids"]]
            assert bits_per_spike(sums).tolist() == pytest.approx(expected, abs=1e-12)
            assert result["sessions"][name]["n_frames"] == len(rhat) == session["n_frames"]
            # every frame once, in order of type and frame
            places = list(zip(own["type"].tolist(), own["frame"].tolist(), strict=True))
            assert len(set(places)) == len(places)
            for kind in set(own["type"].tolist()):
                assert (np.diff(own["frame"][own["type"] == kind]) > 0).all()


def test_rows_hold_the_counts_trials_and_times_of_the_recording(tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    predict(str(tiny_run.folder), Question(split="all", accelerator=CPU), tmp_path / "rates.npz")
    name = "SimA_2024-01-01"
    with np.load(tmp_path / "rates.npz") as stored:
        kinds, frames = stored[f"{name}/type"], stored[f"{name}/frame"]
        for kind in ("gaborium", "backimage"):
            covariates = open_dset(tiny_data.parent / name / f"{kind}.dset").covariates
            mine = kinds == kind
            places = torch.from_numpy(frames[mine])
            for key, source in (
                ("robs", "robs"),
                ("rate_true", "rate_true"),
                ("trial", "trial_inds"),
                ("time", "t_bins"),
            ):
                expected = covariates[source][places].double().numpy()
                assert np.allclose(stored[f"{name}/{key}"][mine], expected, rtol=1e-6), key


def test_one_session_becomes_a_dset_and_several_do_not(tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds one session"):
        predict(str(tiny_run.folder), Question(accelerator=CPU), tmp_path / "rates.dset")
    config = yaml.safe_load(tiny_data.read_text())
    folder = str(tiny_data.parent / config["session_dir"])
    config |= {"sessions": config["sessions"][:1], "session_dir": folder, "data_root": str(tiny_data.parent)}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    one = Question(data=str(tmp_path / "one.yaml"), accelerator=CPU)
    predict(str(tiny_run.folder), one, tmp_path / "rates.dset")
    stored = open_dset(tmp_path / "rates.dset")
    n = len(stored.covariates["rhat"])
    assert n > 0
    assert all(len(value) == n for value in stored.covariates.values())
    assert stored.metadata["cids"] == [0, 1, 2, 3]
    assert stored.notes == []


def test_the_command_writes_once_and_says_what(tiny_run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rates.npz"
    arguments = ["predict", str(tiny_run.folder), "--out", str(out), "--accelerator", "cpu", "--json"]
    for code in (0, 2):
        with pytest.raises(SystemExit) as leaving:
            cli.main(arguments)
        assert leaving.value.code == code
        said = json.loads(capsys.readouterr().out)
        assert said["ok"] is (code == 0)
        if code == 0:
            assert said["bytes"] == out.stat().st_size
            before = out.read_bytes()
    assert out.read_bytes() == before
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments[:3], str(tmp_path / "rates.csv"), "--json"])
    assert leaving.value.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rates.npz"]
