"""Every reference checkpoint comes alive through the command: alone in its file, with the rates of the old code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vctrain.runs.checkpoints import read_checkpoint

NAMES = (
    *("d01_plcore_v1_resnet_convgru", "d02_mdplcore_dense_film", "d03_active_gaborium_resnet_convgrumod"),
    *("d04_active_compiled_resnet_none_gru", "d05_active_modulator_only", "d06_active_concat_softplus_baseline"),
    *("d07_active_film", "d08_active_pc", "d09_active_stn", "d10_active_cones_core_res_film_ei"),
    *("d11_head_resnet_none_convgru", "d12_head_dense_concat_convgru", "d13_head_modulator_only"),
    "d14_mid_e482ece_none_gru_antialias",
)
GENERATIONS = {
    "d01": "PLCoreVisionModel",
    "d02": "MultiDatasetPLCore",
    "d04": "MultiDatasetModel 2025-10 compiled",
    **dict.fromkeys(("d11", "d12", "d13"), "MultiDatasetModel newest"),
}
SEMANTICS = {"old": "old", "old+antialias": "old-antialias", "head": "head"}


def described(legacy: Path, name: str) -> dict[str, Any]:
    """What the manifest says of a checkpoint."""
    entries = json.loads((legacy / "manifest.json").read_text())["checkpoints"]
    return next(entry for entry in entries if entry["id"] == name)


@pytest.mark.parametrize("name", NAMES)
def test_it_predicts_as_before(legacy: Path, migrate: Any, tmp_path: Path, name: str) -> None:
    entry, folder = described(legacy, name), legacy / name
    output = tmp_path / "new.pt"
    named = ["--model-config", folder / "model_config.yaml", "--dataset-configs", folder / entry["dataset_configs"]]
    code, result = migrate(folder / entry["checkpoint"], "-o", output, *named, "--check", folder / "expected.npz")
    assert code == 0, result
    assert result["check"]["max_rel"] < 1e-6
    assert result["generation"] == GENERATIONS.get(name[:3], "MultiDatasetModel 2025-10")
    assert result["semantics"] == SEMANTICS[entry["generation"]]
    assert result["sessions"] == dict(zip(entry["dataset_names"], entry["n_units"], strict=True))
    state = torch.load(output, weights_only=True)["state_dict"]
    assert result["mapped"] == len(state)
    # read as any command reads it, and compared here anew
    twin = read_checkpoint(output).build()
    expected = np.load(folder / "expected.npz")
    for index in range(entry["n_datasets"]):
        stim, behavior = (torch.from_numpy(expected[f"{kind}_{index}"]) for kind in ("stim", "behavior"))
        with torch.no_grad():
            rates = twin.forward_windows(index, stim, behavior).numpy()
        wanted = expected[f"rates_{index}"]
        assert np.max(np.abs(rates - wanted) / np.maximum(np.abs(wanted), 1e-6)) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_all_moments_of_the_optimizer_find_their_parameter(
    legacy: Path, migrate: Any, tmp_path: Path, name: str
) -> None:
    entry, folder = described(legacy, name), legacy / name
    named = ["--model-config", folder / "model_config.yaml", "--dataset-configs", folder / entry["dataset_configs"]]
    code, result = migrate(folder / entry["checkpoint"], "-o", tmp_path / "new.pt", *named)
    assert code == 0
    assert result["optimizer"]["reason"] is None
    raw = torch.load(tmp_path / "new.pt", weights_only=True)
    state, moments = raw["state_dict"], raw["old_optimizer"]["state"]
    assert len(moments) == result["optimizer"]["mapped"]
    grouped = [name for group in raw["old_optimizer"]["groups"] for name in group["names"]]
    assert len(set(grouped)) == len(grouped)
    assert set(moments) <= set(grouped)
    for parameter, entry_of in moments.items():
        assert entry_of["exp_avg"].shape == state[f"twin.{parameter}"].shape
    # the old system gave no gradient to the width of the blur, to gains of split activations and to unit lengths
    without = {parameter for parameter in grouped if parameter not in moments}
    assert all(name.endswith(("log_sigma", "act.ongain", "weight.0.g")) for name in without)


@pytest.mark.parametrize("name", ["d02_mdplcore_dense_film", "d11_head_resnet_none_convgru"])
def test_what_the_checkpoint_holds_need_not_be_named(legacy: Path, migrate: Any, tmp_path: Path, name: str) -> None:
    entry, folder = described(legacy, name), legacy / name
    named = [] if name.startswith("d02") else ["--dataset-configs", folder / entry["dataset_configs"]]
    code, result = migrate(
        folder / entry["checkpoint"], "-o", tmp_path / "new.pt", *named, "--check", folder / "expected.npz"
    )
    assert (code, result["sessions"]) == (0, dict(zip(entry["dataset_names"], entry["n_units"], strict=True)))


def test_units_and_session_inside_a_checkpoint_are_enough_where_a_batch_shows_the_window(
    legacy: Path, migrate: Any, tmp_path: Path
) -> None:
    folder = legacy / NAMES[0]
    checkpoint = folder / described(legacy, NAMES[0])["checkpoint"]
    code, result = migrate(checkpoint, "-o", tmp_path / "a.pt")
    assert (code, result["error"]["hint"]) == (
        3,
        "give --dataset-configs with the dataset configs it was trained with",
    )
    code, result = migrate(checkpoint, "-o", tmp_path / "a.pt", "--check", folder / "expected.npz")
    assert code == 0
    assert any("12 newest frames" in note for note in result["notes"])
    session = read_checkpoint(tmp_path / "a.pt").sessions[0]
    assert (session["name"], session["size"]) == ("Allen_2022-01-03", [21, 21])
    assert all(session[key] is None for key in ("transforms", "filters", "split", "rate_hz", "fingerprint"))


@pytest.mark.parametrize("name", NAMES[:2])
def test_pickled_classes_of_the_old_package_are_named_and_not_imported(
    legacy: Path, migrate: Any, tmp_path: Path, name: str
) -> None:
    folder = legacy / name
    entry = described(legacy, name)
    named = ["--dataset-configs", folder / "dataset_configs"]
    code, result = migrate(folder / entry["checkpoint"], "-o", tmp_path / "new.pt", *named)
    assert code == 0
    assert any("DataYatesV1.models.modules.models" in note for note in result["notes"])


def test_a_directory_is_migrated_in_one_call(legacy: Path, command: Any, migrate: Any, tmp_path: Path) -> None:
    (tmp_path / "old" / "deeper").mkdir(parents=True)
    for name, place in (("d11_head_resnet_none_convgru", "old"), ("d12_head_dense_concat_convgru", "old/deeper")):
        source = legacy / name / described(legacy, name)["checkpoint"]
        (tmp_path / place / source.name).write_bytes(source.read_bytes())
    parent = legacy / "d11_head_resnet_none_convgru" / "dataset_parent.yaml"
    code, result = migrate(tmp_path / "old", "-o", tmp_path / "new", "--dataset-configs", parent)
    assert code == 0
    outputs = [Path(entry["output"]) for entry in result["results"]]
    assert [path.relative_to(tmp_path / "new").parent.name for path in outputs] == ["", "deeper"] or len(outputs) == 2
    assert all(read_checkpoint(path).build().names == ("Logan_2020-01-05", "Allen_2022-01-03") for path in outputs)
    # nothing is replaced the second time
    code, result = migrate(tmp_path / "old", "-o", tmp_path / "new", "--dataset-configs", parent)
    assert (code, result["ok"]) == (2, False)
    assert "2 of 2" in result["error"]["message"]
