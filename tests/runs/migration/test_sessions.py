"""Readouts get the sessions and units they were trained on, in that order, or the migration is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_old import ACTIVE, RESNET, UNITS, Made, active, dataset, in_order, made_twin, write_datasets, write_old

from vctrain.runs.checkpoints import read_checkpoint


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return active(tmp_path / "old")


def stored_names(result: dict[str, Any]) -> list[tuple[str, list[int]]]:
    return [(s["name"], s["cids"]) for s in read_checkpoint(Path(result["output"])).sessions]


EXPECTED = [(name, list(cids)) for name, cids in UNITS.items()]


def test_a_folder_is_read_in_the_order_of_its_names_without_templates(migrate: Any, made: Made) -> None:
    (made.datasets / "a_base.yaml").write_text("cids: [9]\nsession: Template_2024-01-01\n")
    (made.datasets / "readme.yaml").write_text("model_type: v1multi\n")
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0
    assert stored_names(result) == EXPECTED


def test_no_more_sessions_are_read_than_the_training_was_told_to(migrate: Any, tmp_path: Path) -> None:
    made = write_old(tmp_path, made_twin(RESNET, "old"), RESNET, {**ACTIVE, "max_ds": 2})
    (made.datasets / "Zoe_2024-05-08.yaml").write_text(yaml.safe_dump(dataset("Zoe_2024-05-08", [0])))
    code, result = migrate(*made.arguments)
    assert code == 0
    assert stored_names(result) == EXPECTED


def test_a_parent_lists_its_sessions_in_order(migrate: Any, tmp_path: Path) -> None:
    reverse = dict(reversed(UNITS.items()))
    made = write_old(tmp_path, made_twin(RESNET, "old", reverse), RESNET, ACTIVE)
    code, result = migrate(*in_order(made, list(reverse)).arguments, "--check", made.batch)
    assert code == 0, result
    assert stored_names(result) == EXPECTED[::-1]


def test_children_overlay_their_parent(migrate: Any, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "children"
    folder.mkdir()
    shared = {key: value for key, value in dataset("x", [0]).items() if key not in ("session", "cids")}
    for name, cids in UNITS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"cids": list(cids)}))
    parent = tmp_path / "parent.yaml"
    parent.write_text(yaml.safe_dump({**shared, "session_dir": "children", "sessions": list(UNITS)}))
    code, result = migrate(made.checkpoint, "--model-config", made.model_yaml, "--dataset-configs", parent)
    assert code == 0
    assert stored_names(result) == EXPECTED
    session = read_checkpoint(Path(result["output"])).sessions[0]
    assert (session["rate_hz"], session["types"], session["split"]["seed"]) == (120.0, ["gaborium"], 1002)


def test_an_old_training_config_lists_paths(migrate: Any, made: Made, tmp_path: Path) -> None:
    first, second = UNITS
    listed = [f"old/datasets/{first}.yaml", {"path": f"old/datasets/{second}.yaml", "weight": 2.0}]
    config = tmp_path / "training.yaml"
    config.write_text(yaml.safe_dump({"training_type": "v1multi", "model_config": "m.yaml", "datasets": listed}))
    code, result = migrate(made.checkpoint, "--model-config", made.model_yaml, "--dataset-configs", config)
    assert code == 0
    assert stored_names(result) == EXPECTED


def test_recorded_names_are_looked_for_in_folders(migrate: Any, made: Made) -> None:
    """The checkpoint was trained with configs/model.yaml and configs/datasets."""
    folder = made.checkpoint.parent
    code, result = migrate(made.checkpoint, "--model-config", folder, "--dataset-configs", folder)
    assert code == 0
    assert stored_names(result) == EXPECTED


def drop(name: str) -> Any:
    return lambda made: (made.datasets / f"{name}.yaml").unlink()


def add(made: Made) -> None:
    (made.datasets / "Abe_2024-05-06.yaml").write_text(yaml.safe_dump(dataset("Abe_2024-05-06", [0, 1, 2])))


def change(**keys: Any) -> Any:
    def spoil(made: Made) -> None:
        path = made.datasets / f"{next(iter(UNITS))}.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))

    return spoil


CASES: dict[str, tuple[Any, int, str]] = {
    "a session is gone": (drop("Bea_2024-05-07"), 3, "2 readouts of 3, 2 units"),
    "a session was added": (add, 3, "Abe_2024-05-06 3, Ada_2024-05-06 3, Bea_2024-05-07 2"),
    "a unit was added": (change(cids=[0, 2, 5, 7]), 3, "Ada_2024-05-06 4"),
    "a unit twice": (change(cids=[0, 2, 2]), 3, "lists a cid twice"),
    "units by name": (change(cids=["a", "b", "c"]), 3, "cids of session"),
    "a session twice": (change(session="Bea_2024-05-07"), 3, "listed twice"),
    "windows of two lengths": (change(keys_lags={"stim": [0, 1, 2]}), 3, "keys_lags.stim"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_configs_of_another_training_are_refused(migrate: Any, made: Made, case: str) -> None:
    spoil, status, message = CASES[case]
    spoil(made)
    code, result = migrate(*made.arguments)
    assert code == status
    assert message in result["error"]["message"]
    assert result["error"]["hint"]
    assert not made.checkpoint.with_suffix(".pt").exists()


def test_a_reordered_list_is_told_from_a_wrong_one(migrate: Any, made: Made) -> None:
    code, result = migrate(*in_order(made, list(reversed(UNITS))).arguments)
    assert code == 3
    assert "order" in result["error"]["hint"]


def test_a_config_that_says_more_than_current_ones_can_leaves_that_unknown(migrate: Any, made: Made) -> None:
    change(transforms={"stim": {"source": "stim", "ops": [{"fourier": {}}], "expose_as": "stim"}})(made)
    code, result = migrate(*made.arguments)
    assert code == 0
    assert any("fourier" in note and "unknown" in note for note in result["notes"])
    first, second = read_checkpoint(Path(result["output"])).sessions
    assert (first["transforms"], first["split"]) == (None, None)
    assert second["transforms"]["stim"] == []


def test_heads_of_a_session_are_its_own(migrate: Any, tmp_path: Path) -> None:
    own = {"type": "gaussianei", "params": {"initial_std_ex": 2.0, "initial_std_inh": 3.0}}
    name = list(UNITS)[1]
    twin = made_twin(RESNET, "old", heads={name: {"readout": own}})
    made = write_old(tmp_path, twin, RESNET, ACTIVE)
    path = made.datasets / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "readout": own}))
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0, result
    assert read_checkpoint(Path(result["output"])).model.heads[name].readout.type == "gaussianei"


def test_units_that_the_checkpoint_knows_are_not_taken_from_elsewhere(migrate: Any, tmp_path: Path) -> None:
    hyper = {"model_config": RESNET, "dataset_configs": [dataset(n, c) for n, c in UNITS.items()], "optim_kwargs": {}}
    made = write_old(tmp_path, made_twin(RESNET, "old"), RESNET, hyper)
    other = write_datasets(tmp_path / "other", {**UNITS, "Ada_2024-05-06": (1, 2, 3)})
    code, result = migrate(made.checkpoint, "--dataset-configs", other)
    assert code == 3
    assert "0, 2, 5" in result["error"]["message"]
    unknown = write_datasets(tmp_path / "unknown", {"Abe_2024-05-06": (0, 2, 5)})
    code, result = migrate(made.checkpoint, "--dataset-configs", unknown)
    assert (code, "Ada_2024-05-06" in result["error"]["message"]) == (3, True)


def test_a_readout_without_weights_is_named(migrate: Any, made: Made) -> None:
    content = torch.load(made.checkpoint, weights_only=False)
    gone = [name for name in content["state_dict"] if name.startswith("model.readouts.0.")]
    for name in gone:
        del content["state_dict"][name]
    torch.save(content, made.checkpoint)
    code, result = migrate(*made.arguments)
    assert code == 3
    assert "readouts 1 have weights" in result["error"]["message"]
