"""What cannot be migrated is refused in one line that says which file is needed; nothing is written or replaced."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_old import RESNET, Made, active

from vctrain.runs.checkpoints import read_checkpoint


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return active(tmp_path / "old")


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def refused(migrate: Any, folder: Path, *arguments: Any) -> dict[str, Any]:
    before = files(folder)
    code, result = migrate(*arguments)
    assert code in (2, 3), result
    assert result["ok"] is False
    assert "\n" not in result["error"]["message"]
    assert result["error"]["hint"]
    assert files(folder) == before
    return {**result["error"], "code": code}


def test_missing_configs_are_asked_for_by_the_name_the_checkpoint_knows(
    migrate: Any, made: Made, tmp_path: Path
) -> None:
    error = refused(migrate, tmp_path, made.checkpoint)
    assert (error["code"], "configs/model.yaml" in error["hint"]) == (3, True)
    error = refused(migrate, tmp_path, made.checkpoint, "--model-config", made.model_yaml)
    assert (error["code"], "configs/datasets" in error["hint"]) == (3, True)


def spoilt(change: Any) -> dict[str, Any]:
    model = copy.deepcopy(RESNET)
    change(model)
    return model


WRONG_MODELS: dict[str, tuple[Any, int, str]] = {
    "wider": (lambda m: m["convnet"]["params"].update(channels=[3, 5]), 3, "convnet.layers.1"),
    "deeper": (lambda m: m["convnet"]["params"].update(channels=[3, 4, 4]), 3, "missing convnet.layers.2"),
    "no recurrence": (lambda m: m.update(recurrent={"type": "none"}), 3, "unknown recurrent"),
    "another readout": (lambda m: m.update(readout={"type": "linear"}), 3, "readouts.0"),
    "unknown component": (lambda m: m["convnet"].update(type="transformer"), 2, "transformer"),
    "unknown key": (lambda m: m["adapter"]["params"].update(grid=3), 2, "grid"),
    "shifttcn": (lambda m: m["convnet"].update(type="shifttcn"), 2, "shifttcn"),
}


@pytest.mark.parametrize("case", list(WRONG_MODELS))
def test_another_model_config_is_refused(migrate: Any, made: Made, tmp_path: Path, case: str) -> None:
    change, status, message = WRONG_MODELS[case]
    made.model_yaml.write_text(yaml.safe_dump(spoilt(change)))
    error = refused(migrate, tmp_path, *made.arguments)
    assert error["code"] == status
    assert message in error["message"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model-config", "nowhere.yaml", "does not exist"),
        ("--dataset-configs", "nowhere", "does not exist"),
        ("--check", "nowhere.npz", "cannot be read"),
    ],
)
def test_named_files_must_be_there(
    migrate: Any, made: Made, tmp_path: Path, option: str, value: str, message: str
) -> None:
    error = refused(migrate, tmp_path, *made.arguments, option, value)
    assert (error["code"], message in error["message"]) == (2, True)


def test_configs_are_not_mistaken_for_each_other(migrate: Any, made: Made, tmp_path: Path) -> None:
    some = next(made.datasets.iterdir())
    error = refused(migrate, tmp_path, made.checkpoint, "--model-config", some, "--dataset-configs", made.datasets)
    assert "no model config" in error["message"]
    empty = tmp_path / "old" / "empty"
    empty.mkdir()
    named = ["--model-config", made.model_yaml, "--dataset-configs", empty]
    assert "no dataset config" in refused(migrate, tmp_path, made.checkpoint, *named)["message"]
    (made.datasets / "one.yaml").write_text("sessions: [a]\nsession_dir: .\n")
    (made.datasets / "two.yaml").write_text("sessions: [b]\nsession_dir: .\n")
    assert "several parent configs" in refused(migrate, tmp_path, *made.arguments)["message"]


def test_a_file_is_never_replaced(migrate: Any, made: Made, tmp_path: Path) -> None:
    code, result = migrate(*made.arguments)
    output = Path(result["output"])
    assert (code, output) == (0, made.checkpoint.with_suffix(".pt"))
    content = output.read_bytes()
    assert "exists" in refused(migrate, tmp_path, *made.arguments)["message"]
    assert refused(migrate, tmp_path, *made.arguments, "-o", made.model_yaml)["code"] == 2
    assert "no folder" in refused(migrate, tmp_path, *made.arguments, "-o", tmp_path / "gone" / "a.pt")["message"]
    assert output.read_bytes() == content


def test_a_current_checkpoint_is_told_so(migrate: Any, made: Made, tmp_path: Path) -> None:
    code, result = migrate(*made.arguments)
    assert code == 0
    assert "of vctrain already" in refused(migrate, tmp_path, result["output"])["message"]


def test_an_old_checkpoint_is_sent_to_migration(made: Made, command: Any) -> None:
    code, result = command("eval-bps", made.checkpoint)
    assert (code, "migrate-ckpt" in result["error"]["hint"]) == (3, True)


def changed(made: Made, change: Any) -> Made:
    content = torch.load(made.checkpoint, weights_only=False)
    change(content)
    torch.save(content, made.checkpoint)
    return made


NOT_CHECKPOINTS: dict[str, tuple[Any, str]] = {
    "no state": (lambda c: c.pop("state_dict"), "no state_dict"),
    "empty state": (lambda c: c["state_dict"].clear(), "empty"),
    "other model": (lambda c: c.update(state_dict={"encoder.weight": torch.zeros(2)}), "encoder.weight"),
    "state of numbers": (lambda c: c.update(state_dict={"model.readouts.0.bias": 3}), "readouts none"),
    "state is a list": (lambda c: c.update(state_dict=[1]), "no state_dict"),
    "not finite": (lambda c: c["state_dict"]["model.readouts.0.bias"].fill_(float("nan")), "not finite"),
    "whole numbers": (
        lambda c: c["state_dict"].update({"model.readouts.0.bias": torch.zeros(3, dtype=torch.int64)}),
        "int64",
    ),
    "tensor missing": (lambda c: c["state_dict"].pop("model.recurrent.cell.conv_h.weight"), "missing recurrent"),
}


@pytest.mark.parametrize("case", list(NOT_CHECKPOINTS))
def test_damaged_contents_are_named(migrate: Any, made: Made, tmp_path: Path, case: str) -> None:
    change, message = NOT_CHECKPOINTS[case]
    error = refused(migrate, tmp_path, *changed(made, change).arguments)
    assert error["code"] == 3
    assert message in error["message"]


def test_odd_hyperparameters_do_no_harm(migrate: Any, made: Made) -> None:
    odd = {
        "model_cfg": ["x"],
        "cfg_dir": 3,
        "lr": "fast",
        "wd": float("nan"),
        "max_ds": "all",
        "model_config_dict": [1],
        "dataset_configs": {"a": 1},
        "cids": "1,2",
        "optim_kwargs": 3,
    }
    code, result = migrate(*changed(made, lambda c: c.update(hyper_parameters=odd)).arguments, "--check", made.batch)
    assert code == 0, result
    assert read_checkpoint(Path(result["output"])).settings.optim.weight_decay == 1e-4


BATCHES: dict[str, tuple[Any, int, str]] = {
    "no rates": (lambda b: [b.pop(f"rates_{i}") for i in (0, 1)], 2, "rates_0"),
    "other units": (lambda b: b.update(rates_0=b["rates_0"][:, :1]), 3, "(4, 1)"),
    "more sessions": (lambda b: b.update(rates_2=b["rates_1"]), 3, "rates_2"),
    "other rates": (lambda b: b.update(rates_1=b["rates_1"] + 1e-3), 3, "largest relative difference"),
    "not finite": (lambda b: b["rates_0"].fill(np.nan), 3, "largest relative difference"),
    "objects": (lambda b: b.update(rates_0=np.array([{}], object)), 2, "cannot be read"),
}


@pytest.mark.parametrize("case", list(BATCHES))
def test_a_batch_of_another_checkpoint_is_refused(migrate: Any, made: Made, tmp_path: Path, case: str) -> None:
    change, status, message = BATCHES[case]
    batch = dict(np.load(made.batch))
    change(batch)
    np.savez(made.batch, **batch)
    error = refused(migrate, tmp_path, *made.arguments, "--check", made.batch)
    assert error["code"] == status
    assert message in error["message"]


def test_a_directory_tells_of_each_checkpoint(migrate: Any, made: Made, tmp_path: Path) -> None:
    (made.checkpoint.parent / "broken.ckpt").write_bytes(made.checkpoint.read_bytes()[:1000])
    named = ["--model-config", made.model_yaml, "--dataset-configs", made.datasets]
    code, result = migrate(made.checkpoint.parent, *named)
    assert (code, result["ok"]) == (3, False)
    assert "1 of 2" in result["error"]["message"]
    broken, good = result["results"]
    assert (broken["ok"], good["ok"]) == (False, True)
    assert "truncated" in broken["error"]["message"]
    assert read_checkpoint(good["output"]).build().names == made.twin.names
    assert refused(migrate, tmp_path, made.datasets, *named)["code"] == 3
    assert refused(migrate, tmp_path, made.checkpoint.parent, *named, "-o", made.model_yaml)["code"] == 2
    assert refused(migrate, tmp_path, tmp_path / "nowhere.ckpt", *named)["code"] == 3
