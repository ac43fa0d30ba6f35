"""Ceilings of a checkpoint are those of the rates that predict writes; gain and offset never see what is evaluated."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from made_sessions import settings

from vctrain import cli
from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import simulate
from vctrain.errors import ContractError
from vctrain.evaluation.evaluate import Question, evaluate
from vctrain.evaluation.predict import predict
from vctrain.metrics.ceilings import cc_norm, explained_variance
from vctrain.metrics.psth_oracle import oracle_sums
from vctrain.metrics.repeats import arrange
from vctrain.training.fit import train

CPU = {"accelerator": "cpu", "replicates": 0}
SESSION = "SimA_2024-01-01"


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on a session with repeats."""
    folder = tmp_path_factory.mktemp("repeats")
    simulate(
        folder / "data",
        SimulationConfig(sessions=1, units=4, minutes=4, size=16, rate=60.0, types=("fixrsvp", "gaborium"), seed=5),
    )
    data = folder / "data" / "dataset.yaml"
    chosen = settings(data, {"trainer.max_epochs": 1})
    train(chosen, run_dir=folder / "run", provenance={}, argv=["vctrain", "train"])
    return folder


@pytest.mark.parametrize("split", ["val", "all"])
def test_ceilings_are_those_of_the_predicted_rates(repeated: Path, tmp_path: Path, split: str) -> None:
    run = str(repeated / "run")
    found = evaluate(run, split=split, ceilings=True, **CPU)["ceilings"]
    assert list(found["sessions"][SESSION]) == ["fixrsvp"]
    of_type = found["sessions"][SESSION]["fixrsvp"]
    predict(run, Question(split=split, accelerator="cpu"), tmp_path / "rates.npz")
    recorded = torch.load(repeated / "data" / SESSION / "fixrsvp.dset", weights_only=True)["covariates"]
    with np.load(tmp_path / "rates.npz") as file:
        own = {name.partition("/")[2]: file[name] for name in file.files}
    mine = own["type"] == "fixrsvp"
    arrangement = arrange(recorded["psth_inds"].numpy()[own["frame"][mine]], own["trial"][mine])
    repeats = arrangement.repeats(own["robs"][mine], own["dfs"][mine])
    rate = np.nan_to_num(arrangement.place(own["rhat"][mine]))
    assert of_type["n_repeats"] == len(arrangement.trials)
    for name, expected in (
        ("cc_norm", cc_norm(repeats, rate).cc_norm),
        ("feve", explained_variance(repeats, rate).feve),
        ("psth_oracle_bps", oracle_sums(repeats).bits_per_spike().numpy()),
    ):
        shown = [of_type["units"][str(cid)][name] for cid in own["cids"]]
        assert [math.nan if value is None else value for value in shown] == pytest.approx(expected, nan_ok=True)
        if split == "all":
            assert of_type["mean"][name] == pytest.approx(np.nanmean(expected))


def test_no_repeats_are_an_error(tiny_run) -> None:
    with pytest.raises(ContractError, match=r"--ceilings: no val frame of .* belongs to a repeated sequence"):
        evaluate(str(tiny_run.folder), ceilings=True, **CPU)


def test_gain_and_offset_are_of_the_training_frames(repeated: Path) -> None:
    """On them bits per spike can only grow; on others the same numbers are applied."""
    run = str(repeated / "run")
    plain = {split: evaluate(run, split=split, **CPU) for split in ("train", "val")}
    scaled = {split: evaluate(run, split=split, rescale=True, **CPU) for split in ("train", "val")}
    assert scaled["train"]["rescaled"] == scaled["val"]["rescaled"]
    assert scaled["val"]["rescaled"]["fitted_on"] == "train"
    units = scaled["train"]["sessions"][SESSION]["units"]
    assert all(units[cid] >= value - 1e-9 for cid, value in plain["train"]["sessions"][SESSION]["units"].items())
    assert scaled["train"]["bps_overall"] > plain["train"]["bps_overall"] + 1e-4
    assert scaled["val"]["bps_overall"] != plain["val"]["bps_overall"]
    assert scaled["val"]["oracle_bps_overall"] == plain["val"]["oracle_bps_overall"]


def test_rescaled_rates_are_gain_times_rate_plus_offset(repeated: Path, tmp_path: Path) -> None:
    run = str(repeated / "run")
    shown = evaluate(run, rescale=True, **CPU)
    predict(run, Question(accelerator="cpu"), tmp_path / "rates.npz")
    with np.load(tmp_path / "rates.npz") as file:
        rhat, robs = file[f"{SESSION}/rhat"].astype(float), file[f"{SESSION}/robs"].astype(float)
    for place, (cid, scale) in enumerate(shown["rescaled"]["sessions"][SESSION].items()):
        rate, count = scale["gain"] * rhat[:, place] + scale["offset"], robs[:, place]
        gain = (count * np.log(np.maximum(rate, 1e-8)) - rate).sum()
        null = (count * np.log(count.mean()) - count.mean()).sum()
        expected = (gain - null) / count.sum() / math.log(2)
        assert shown["sessions"][SESSION]["units"][cid] == pytest.approx(expected, abs=1e-9)


@pytest.mark.usefixtures("one_thread")
def test_rescaled_figures_do_not_depend_on_the_processes(repeated: Path) -> None:
    one, two = (evaluate(str(repeated / "run"), rescale=True, devices=n, **CPU) for n in (1, 2))
    assert two["bps_overall"] == pytest.approx(one["bps_overall"], abs=1e-12)


def test_the_command_writes_a_row_for_each_unit(repeated: Path, tmp_path: Path, capsys) -> None:
    asked = [
        "eval-bps",
        str(repeated / "run"),
        "--ceilings",
        "--rescale",
        "--split",
        "all",
        "--out",
        str(tmp_path / "o"),
    ]
    with pytest.raises(SystemExit) as caught:
        cli.main([*asked, "--json"])
    assert not caught.value.code
    shown = json.loads(capsys.readouterr().out)
    with (tmp_path / "o" / "ceilings.csv").open() as file:
        rows = list(csv.DictReader(file))
    units = shown["ceilings"]["sessions"][SESSION]["fixrsvp"]["units"]
    assert [row["cid"] for row in rows] == list(units)
    assert [row["cc_norm"] for row in rows] == [
        "" if unit["cc_norm"] is None else repr(unit["cc_norm"]) for unit in units.values()
    ]


def test_a_bin_of_two_frames_is_one_bin_of_the_sequence(repeated: Path, tmp_path: Path) -> None:
    """At half the frame rate the sequence has half as many bins, whatever frame of it a repeat begins with."""
    folder = tmp_path / "data"
    shutil.copytree(repeated / "data", folder)
    for path in (folder / "dataset.yaml", *folder.rglob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if "session" in config:
            config["sampling"] = {"source_rate": 60, "target_rate": 30}
            path.write_text(yaml.safe_dump(config))
    chosen = settings(folder / "dataset.yaml", {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 2})
    train(chosen, run_dir=tmp_path / "run", provenance={}, argv=["vctrain", "train"])
    halved = evaluate(str(tmp_path / "run"), split="all", ceilings=True, **CPU)["ceilings"]["sessions"][SESSION]
    whole = evaluate(str(repeated / "run"), split="all", ceilings=True, **CPU)["ceilings"]["sessions"][SESSION]
    assert halved["fixrsvp"]["n_bins"] == pytest.approx(whole["fixrsvp"]["n_bins"] / 2, abs=4)
    assert halved["fixrsvp"]["n_repeats"] == pytest.approx(whole["fixrsvp"]["n_repeats"], abs=2)
