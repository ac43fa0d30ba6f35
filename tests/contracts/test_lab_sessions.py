"""Sessions as labs have them, from YAML to figures: cones, lost spikes, own heads, three splits, no eye tracker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from data.made_recordings import EYE_VELOCITY, covariates, write, write_config
from made_sessions import settings

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.data.report import session_report
from vctrain.errors import ContractError
from vctrain.evaluation.evaluate import evaluate
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training import fit

CONES = {"dacones": {"alpha": 0.5, "filter_length": 8, "sampling_rate": 100}}
THREE = {"train_val_split": [0.5, 0.25, 0.25]}
FILTERS = {"datafilters": {"dfs": {"ops": [{"valid_nlags": 2}, {"missing_pct": {"theshold": 45}}], "expose_as": "dfs"}}}


def lab(folder: Path) -> Path:
    """Two sessions of one lab, one of them without an eye tracker."""
    generator = np.random.default_rng(3)
    for name, eyepos in (("Ada_2024-05-06", True), ("Bob_2024-05-07", False)):
        content = covariates(trials=(60,) * 12, units=4, size=(12, 12), eyepos=eyepos)
        content["missing_pct"] = torch.from_numpy(generator.uniform(0, 80, (720, 4)).astype(np.float32)) // 20 * 20
        write(folder / name / "gaborium.dset", content)
        ops = {"transforms": {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, CONES]}, **EYE_VELOCITY}}
        write_config(folder, name, ["gaborium"], (3, 0, 1), **THREE, **FILTERS, **ops)
    path = folder / "Bob_2024-05-07.yaml"
    own = {"adapter": {"type": "adapter", "params": {"init_sigma": 1.5}}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **own}, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VCTRAIN_CACHE", str(folder / "cache"))
        chosen = settings(lab(folder / "data"), {"model.modulator": {"type": "film", "dims": [4, 4]}})
        result = fit.train(chosen, run_dir=folder / "run", provenance={}, argv=[])
        yield folder / "data", folder / "run", result


def test_the_run_says_what_was_kept_and_dropped(run) -> None:
    data, folder, _ = run
    log = (folder / "run.log").read_text()
    (ada, bob) = open_sessions(load_dataset_configs(data), int(read_checkpoint(folder).content["context"]))
    for session in (ada, bob):
        report = session_report(session)
        assert f"{session.name}: 720 frames; scored {report['scored']['train']} train" in log
        assert report["missing_pct"]["units_touched"] > 0
    assert "Bob_2024-05-07: no eyepos, so it is used without behaviour" in log
    assert "theshold is read as threshold" in log
    assert (ada.behavior_dim > 0, bob.behavior_dim) == (True, 0)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_is_scored_by_itself(run, split: str) -> None:
    data, folder, result = run
    shown = evaluate(str(folder), split=split, accelerator="cpu")
    sessions = open_sessions(load_dataset_configs(data), int(read_checkpoint(folder).content["context"]))
    for session in sessions:
        assert shown["sessions"][session.name]["n_frames"] <= session.n_scored(split)
        assert shown["sessions"][session.name]["n_frames"] == max(session.entries(split))
    if split == "val":
        assert shown["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=1e-12)


def test_all_splits_together_are_every_frame(run) -> None:
    _, folder, _ = run
    parts = [evaluate(str(folder), split=split, accelerator="cpu") for split in ("train", "val", "test", "all")]
    for name in parts[0]["sessions"]:
        frames = [part["sessions"][name]["n_frames"] for part in parts]
        assert frames[3] >= max(frames[:3])


def test_a_checkpoint_without_a_test_split_says_so(tiny_run) -> None:
    with pytest.raises(ContractError, match="has no test frame") as error:
        evaluate(str(tiny_run.folder), split="test", accelerator="cpu")
    assert "train_val_split" in error.value.hint
    assert error.value.code == 3


def test_the_checkpoint_holds_what_makes_the_numbers(run) -> None:
    _, folder, _ = run
    ada, bob = read_checkpoint(folder).sessions
    assert ada["transforms"]["stim"][1]["dacones"]["alpha"] == 0.5
    assert ada["filters"]["missing_pct"] == 45
    assert ada["split"]["train_val_split"] == [0.5, 0.25, 0.25]
    assert (ada["adapter"], bob["adapter"]["init_sigma"]) == (None, 1.5)
    assert read_checkpoint(folder).build().adapters[1] is not None
