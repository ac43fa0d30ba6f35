"""Figures of a checkpoint are exact: those of training, of every pass, and of the definition."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.data.splits import TRAIN, split_trials
from vctrain.errors import ContractError
from vctrain.evaluation.evaluate import evaluate
from vctrain.runs.checkpoints import read_checkpoint


def bps(rate: np.ndarray, robs: np.ndarray) -> float:
    """Bits per spike of one unit from all its frames at once."""
    mean = robs.mean()
    gain = (robs * np.log(np.maximum(rate, 1e-8)) - rate).sum() - (robs * np.log(mean) - mean).sum()
    return float(gain / robs.sum() / math.log(2))


def scored_frames(file: Path, context: int, split: tuple[float, ...], seed: int) -> np.ndarray:
    """Validation frames whose context is valid and of their own trial, counted one by one from the file."""
    covariates = torch.load(file, weights_only=True)["covariates"]
    trial, valid = covariates["trial_inds"].numpy(), covariates["dpi_valid"].numpy() > 0
    trials = np.unique(trial)
    training = set(trials[split_trials(trials, split, seed) == TRAIN].tolist())
    return np.array(
        [
            frame
            for frame in range(context, len(trial))
            if trial[frame] not in training
            and (trial[frame - context : frame + 1] == trial[frame]).all()
            and valid[frame - context : frame + 1].all()
        ]
    )


def test_the_best_checkpoint_scores_what_the_run_said(tiny_run) -> None:
    first = evaluate(str(tiny_run.folder), accelerator="cpu")
    assert first["bps_overall"] == pytest.approx(tiny_run.result["val_bps_overall"], abs=1e-12)
    assert first["oracle_bps_overall"] == pytest.approx(tiny_run.result["oracle_bps_overall"], abs=1e-12)
    assert first["fraction_of_oracle"] == pytest.approx(tiny_run.result["fraction_of_oracle"], abs=1e-12)
    for name, value in tiny_run.result["val_bps"].items():
        assert first["sessions"][name]["bps"] == pytest.approx(value, abs=1e-12)
        assert list(first["sessions"][name]["units"]) == ["0", "1", "2", "3"]
        units = [unit for unit in first["sessions"][name]["units"].values() if unit is not None]
        assert first["sessions"][name]["bps"] == pytest.approx(np.mean(units), abs=1e-12)
    assert not [note for note in first["notes"] if "other" in note or "ignored" in note or "left out" in note]
    assert evaluate(str(tiny_run.checkpoints / "best.ckpt"), accelerator="cpu")["sessions"] == first["sessions"]


def test_figures_equal_the_definition_computed_from_the_files(tiny_run) -> None:
    """Oracle and frames from the recordings alone, predictions frame by frame; no loader, no sums."""
    stored = read_checkpoint(tiny_run.folder)
    twin, context = stored.build(), int(stored.content["context"])
    data = Path(tiny_run.settings.data.path)
    specs = load_dataset_configs(data, data_root=None, types=None, max_datasets=None)
    sessions = open_sessions(specs, context)
    shown = evaluate(str(tiny_run.folder), accelerator="cpu")
    oracles = []
    for session in sessions:
        robs, truth, rate, n_frames, offset = [], [], [], 0, 0
        for kind in session.types:
            file = data.parent / session.name / f"{kind}.dset"
            frames = scored_frames(file, context, session.spec.train_val_split, session.spec.seed)
            covariates = torch.load(file, weights_only=True)["covariates"]
            robs.append(covariates["robs"].numpy()[frames].astype(np.float64))
            truth.append(covariates["rate_true"].numpy()[frames].astype(np.float64))
            with torch.no_grad():
                pieces = np.array_split(frames + offset, max(1, len(frames) // 100))
                rate += [twin([session.gather(piece, frames=1)])[0][:, 0].double().numpy() for piece in pieces]
            n_frames += len(frames)
            offset += len(covariates["robs"])
        r, t, p = np.concatenate(robs), np.concatenate(truth), np.concatenate(rate)
        entry = shown["sessions"][session.name]
        assert entry["n_frames"] == n_frames
        expected = [bps(p[:, u], r[:, u]) for u in range(4)]
        assert list(entry["units"].values()) == pytest.approx(expected, abs=1e-5)
        oracles.append(np.mean([bps(t[:, u], r[:, u]) for u in range(4)]))
    assert shown["oracle_bps_overall"] == pytest.approx(np.mean(oracles), abs=1e-9)
    assert shown["fraction_of_oracle"] == pytest.approx(shown["bps_overall"] / np.mean(oracles), abs=1e-9)


def test_splits_together_are_all_frames(tiny_run) -> None:
    frames = {}
    for split in ("train", "val", "all"):
        shown = evaluate(str(tiny_run.folder), split=split, accelerator="cpu")
        assert shown["split"] == split
        frames[split] = [session["n_frames"] for session in shown["sessions"].values()]
    assert [a + b for a, b in zip(frames["train"], frames["val"], strict=True)] == frames["all"]


def test_some_types_of_the_same_recordings_are_not_other_recordings(tiny_run) -> None:
    shown = evaluate(str(tiny_run.folder), types=["gaborium"], accelerator="cpu")
    whole = evaluate(str(tiny_run.folder), accelerator="cpu")
    for name, session in shown["sessions"].items():
        assert 0 < session["n_frames"] < whole["sessions"][name]["n_frames"]
    assert not [note for note in shown["notes"] if "other recordings" in note]


def test_recordings_that_are_gone_are_an_error_that_names_them(tiny_run, tiny_data, tmp_path) -> None:
    with pytest.raises(ContractError):
        evaluate(str(tmp_path / "no-run"), accelerator="cpu")
    copy = shutil.copytree(tiny_data.parent, tmp_path / "copy")
    shutil.rmtree(copy / "SimB_2024-01-02")
    with pytest.raises(ContractError, match="SimB_2024-01-02"):
        evaluate(str(tiny_run.folder), data=str(copy / "dataset.yaml"), accelerator="cpu")


def test_figures_do_not_depend_on_the_order_of_sessions(tiny_run, tiny_data: Path, tmp_path: Path) -> None:
    """Intervals included: what is drawn for a session depends on its name alone."""
    copy = shutil.copytree(tiny_data.parent, tmp_path / "copy")
    parent = yaml.safe_load((copy / tiny_data.name).read_text())
    parent["sessions"] = parent["sessions"][::-1]
    (copy / tiny_data.name).write_text(yaml.safe_dump(parent, sort_keys=False))
    there, here = (
        evaluate(str(tiny_run.folder), data=str(data), accelerator="cpu", replicates=50)
        for data in (copy / tiny_data.name, tiny_data)
    )
    assert there["bps_overall"] == pytest.approx(here["bps_overall"], abs=1e-12)
    assert there["bps_overall_interval"] == pytest.approx(here["bps_overall_interval"], abs=1e-12)
    for name, session in here["sessions"].items():
        assert there["sessions"][name]["units"] == pytest.approx(session["units"], abs=1e-12)
        assert there["sessions"][name]["interval"] == pytest.approx(session["interval"], abs=1e-12)


@pytest.mark.usefixtures("one_thread")
def test_figures_depend_on_the_number_of_threads_below_a_millionth(tiny_run) -> None:
    one = evaluate(str(tiny_run.folder), accelerator="cpu", replicates=0)
    torch.set_num_threads(2)
    two = evaluate(str(tiny_run.folder), accelerator="cpu", replicates=0)
    for name, session in one["sessions"].items():
        assert two["sessions"][name]["units"] == pytest.approx(session["units"], abs=1e-6)
