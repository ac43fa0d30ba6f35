"""An evaluation is used again for exactly the same checkpoint, data and question, and for nothing else."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vctrain.evaluation import evaluate as module
from vctrain.evaluation.evaluate import Question, evaluate_all
from vctrain.evaluation.stored import Store

ASKED = Question(accelerator="cpu")


@pytest.fixture
def asked(tiny_run, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Asks about a copy of the run, on a copy of the recordings; says whether the twin was run."""
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(tiny_run.folder, run, ignore=shutil.ignore_patterns("eval"))
    shutil.copytree(tiny_data.parent, data)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    runs = []
    real = module._score
    monkeypatch.setattr(module, "_score", lambda *given: runs.append(given) or real(*given))

    def ask(question: Question = ASKED, target: Path = run, **options):
        runs.clear()
        asked_of = replace(question, data=question.data or str(data / tiny_data.name))
        (result,) = evaluate_all([str(target)], asked_of, replicates=options.get("replicates", 20))
        return result, bool(runs)

    ask.run, ask.data = run, data
    return ask


def figures(result: dict) -> dict:
    return {key: value for key, value in result.items() if key not in ("reused", "notes")}


def test_the_second_time_nothing_is_computed_and_all_is_the_same(asked) -> None:
    first, computed = asked()
    assert computed
    assert first["reused"] == []
    again, computed = asked()
    assert not computed
    assert figures(again) == figures(first)
    assert [Path(path).parent for path in again["reused"]] == [asked.run / "eval"]
    anew, computed = asked(replace(ASKED, fresh=True))
    assert computed
    assert figures(anew) == figures(first)


def test_other_intervals_come_from_the_same_sums(asked) -> None:
    first, _ = asked(replicates=0)
    second, computed = asked(replicates=20)
    assert not computed
    assert second["bps_overall"] == first["bps_overall"]
    assert first["bps_overall_interval"] is None


@pytest.mark.parametrize("change", ["split", "types", "rescale"])
def test_another_question_is_computed(asked, change: str) -> None:
    asked()
    changed = {"split": {"split": "train"}, "types": {"types": ("gaborium",)}, "rescale": {"rescale": True}}[change]
    assert asked(replace(ASKED, **changed))[1]
    assert not asked()[1]


def test_what_this_very_evaluation_computed_is_not_called_reused(asked) -> None:
    first, _ = asked(replace(ASKED, rescale=True))
    assert first["reused"] == []
    again, computed = asked(replace(ASKED, rescale=True))
    assert not computed
    assert sorted(Path(path).name.partition("-")[0] for path in again["reused"]) == ["scales", "sums"]


def test_another_checkpoint_is_computed(asked) -> None:
    asked()
    path = asked.run / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    name = next(name for name in content["state_dict"] if name.startswith("twin.readouts.0"))
    content["state_dict"][name] = content["state_dict"][name] + 0.5
    path.unlink()
    torch.save(content, path)
    assert asked()[1]


@pytest.mark.parametrize("covariate", ["robs", "dpi_valid"])
def test_recordings_written_anew_are_computed(asked, covariate: str) -> None:
    """Also where the frames of which fingerprints are made stayed as they were."""
    before, _ = asked()
    path = next(asked.data.rglob("gaborium.dset"))
    content = torch.load(path, weights_only=True)
    content["covariates"][covariate][-500:] = 0
    torch.save(content, path)
    after, computed = asked()
    assert computed
    assert figures(after) != figures(before)


def test_a_damaged_or_foreign_file_is_not_used(asked) -> None:
    first, _ = asked()
    (path,) = (asked.run / "eval").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again, computed = asked()
    assert computed
    assert figures(again) == figures(first)
    # the file of another question, under the name of this one
    asked(replace(ASKED, split="train"))
    (other,) = [p for p in (asked.run / "eval").iterdir() if p != path]
    shutil.copy(other, path)
    assert asked()[1]


def test_a_checkpoint_outside_a_run_is_kept_in_the_cache(asked, tmp_path: Path) -> None:
    alone = tmp_path / "twin.ckpt"
    shutil.copy(asked.run / "checkpoints" / "best.ckpt", alone)
    assert asked(target=alone)[1]
    again, computed = asked(target=alone)
    assert not computed
    assert Path(again["reused"][0]).is_relative_to(tmp_path / "cache")


def test_a_folder_that_cannot_be_written_is_told(asked) -> None:
    (asked.run / "eval").write_text("no folder")
    result, computed = asked()
    assert computed
    assert any("not kept for later" in note for note in result["notes"])


def test_arrays_and_values_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "x.npz", {"what": "x", "n": 1.5, "of": [1, 2]})
    assert store.load() is None
    assert store.save({"a": [0.1, None]}, {"b": np.array([[1e-300, 2.0]])}) is None
    values, arrays = store.load()
    assert values == {"a": [0.1, None]}
    assert arrays["b"].tolist() == [[1e-300, 2.0]]
    assert Store(store.path, {**store.key, "n": 1.25}).load() is None
    assert os.listdir(tmp_path / "a") == ["x.npz"]
