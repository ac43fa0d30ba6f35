"""Dataset configs of both styles become the same kind of session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_configs import COMPLETE, config, parent, recording

from vctrain.config.components.adapters import AffineAdapter
from vctrain.config.components.readouts import GaussianReadout
from vctrain.config.datasets import deep_merge, load_dataset_configs
from vctrain.config.locate import subject_of
from vctrain.errors import ContractError, UsageError

SHARED = Path(os.environ.get("VCTRAIN_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def test_a_complete_config(tmp_path: Path) -> None:
    file = recording(tmp_path, "Ada_2024-05-06")
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", COMPLETE))
    assert (spec.name, spec.subject, spec.lab, spec.cids) == ("Ada_2024-05-06", "Ada", "yates", (3, 1))
    assert (spec.types, dict(spec.files)) == (("gaborium",), {"gaborium": file})
    assert (spec.factor, spec.train_val_split, spec.seed, spec.n_lags) == (2, (0.75,), 7, 13)
    assert [op.op for op in spec.transforms.behavior[0].ops] == [
        *("diff", "maxnorm", "symlog", "mul", "temporal_basis", "splitrelu", "smooth", "cast")
    ]
    assert spec.transforms.behavior[1].ops == ()
    assert spec.transforms.stim == ()
    assert spec.notes == ()


def test_a_parent_and_its_children_in_the_order_of_the_list(tmp_path: Path) -> None:
    path = parent(tmp_path, ["Zoe_2024-01-02", "Ada_2024-01-01"])
    config(tmp_path / "children" / "Ada_2024-01-01.yaml", {"cids": [5], "train_val_split": 0.5, "lab": "rowley"})
    zoe, ada = load_dataset_configs(path)
    assert (zoe.name, zoe.cids, zoe.train_val_split) == ("Zoe_2024-01-02", (0,), (0.75,))
    assert (ada.name, ada.cids, ada.train_val_split, ada.lab) == ("Ada_2024-01-01", (5,), (0.5,), "rowley")
    assert len(load_dataset_configs(path, max_datasets=1)) == 1


def test_a_folder_of_complete_configs_sorted_and_unfiltered(tmp_path: Path) -> None:
    for name in ("database_B", "Ada_1", "Cy_1"):
        config(tmp_path / f"{name}.yaml", {**COMPLETE, "session": name})
        recording(tmp_path, name)
    assert [spec.name for spec in load_dataset_configs(tmp_path)] == ["Ada_1", "Cy_1", "database_B"]


def test_a_folder_with_one_parent_is_that_parent(tmp_path: Path) -> None:
    parent(tmp_path, ["Ada_1", "Bob_1"])
    assert len(load_dataset_configs(tmp_path)) == 2
    config(tmp_path / "other.yaml", COMPLETE)
    with pytest.raises(UsageError, match=r"several dataset configs, among them parent\.yaml"):
        load_dataset_configs(tmp_path)


def test_a_folder_of_session_folders(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-01-01", "b")
    recording(tmp_path, "Ada_2024-01-01", "a", "datasets/{type}.dset")
    recording(tmp_path, "Bob_2024-01-01", "c", "shifter/{type}_shifted.dset")
    (tmp_path / "notes").mkdir()
    ada, bob = load_dataset_configs(tmp_path)
    assert (ada.types, ada.cids, ada.config_path) == (("a", "b"), None, None)
    assert bob.types == ("c",)
    assert len(ada.transforms.behavior) == 2
    assert [spec.types for spec in load_dataset_configs(tmp_path, types=["a"], max_datasets=1)] == [("a",)]


@pytest.mark.parametrize("layout", ["{type}.dset", "datasets/{type}.dset", "shifter/{type}_shifted.dset"])
def test_recordings_are_found_in_each_layout(tmp_path: Path, layout: str) -> None:
    file = recording(tmp_path, "Ada_2024-05-06", layout=layout)
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", COMPLETE))
    assert spec.files["gaborium"] == file


def test_roots_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("declared", "option", "environment", "here/configs", "here"):
        recording(tmp_path / root, "Ada_2024-05-06")
    path = tmp_path / "here" / "configs" / "one.yaml"
    monkeypatch.setenv("VCTRAIN_DATA_ROOT", str(tmp_path / "environment"))

    def root_of(content: dict[str, Any], data_root: str | None) -> Path:
        (spec,) = load_dataset_configs(config(path, content), data_root=data_root)
        return spec.files["gaborium"].resolve().parent.parent

    option = str(tmp_path / "option")
    assert root_of({**COMPLETE, "data_root": "../../declared"}, option) == (tmp_path / "declared").resolve()
    assert root_of(COMPLETE, option) == (tmp_path / "option").resolve()
    assert root_of(COMPLETE, None) == (tmp_path / "environment").resolve()
    monkeypatch.delenv("VCTRAIN_DATA_ROOT")
    assert root_of(COMPLETE, None) == (tmp_path / "here" / "configs").resolve()
    (tmp_path / "here" / "configs" / "Ada_2024-05-06" / "gaborium.dset").unlink()
    assert root_of(COMPLETE, None) == (tmp_path / "here").resolve()


def test_a_missing_recording_lists_every_path_tried(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-05-06")
    path = config(tmp_path / "one.yaml", {**COMPLETE, "types": ["gaborium", "backimage_typo"]})
    with pytest.raises(ContractError, match="Ada_2024-05-06 has no backimage_typo recording") as error:
        load_dataset_configs(path)
    for root in (tmp_path, tmp_path.parent):
        for layout in ("{}.dset", "datasets/{}.dset", "shifter/{}_shifted.dset"):
            assert str(root / "Ada_2024-05-06" / layout.format("backimage_typo")) in error.value.message


def test_types_from_the_command_replace_those_of_the_config(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-05-06", "fixrsvp")
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", COMPLETE), types=["fixrsvp"])
    assert spec.types == ("fixrsvp",)


def test_of_some_types_a_session_has_those_that_are_there(tmp_path: Path) -> None:
    for name, kinds in (("Ada_1", ("gaborium", "gratings")), ("Bob_1", ("gaborium",))):
        config(tmp_path / f"{name}.yaml", {**COMPLETE, "session": name})
        for kind in kinds:
            recording(tmp_path, name, kind)
    found = load_dataset_configs(tmp_path, types=["gratings", "fixrsvp"], some=True)
    assert [(spec.name, spec.types) for spec in found] == [("Ada_1", ("gratings",))]
    both = load_dataset_configs(tmp_path, types=["gratings", "gaborium"], some=True)
    assert [spec.types for spec in both] == [("gratings", "gaborium"), ("gaborium",)]
    assert load_dataset_configs(tmp_path, types=["fixrsvp"], some=True) == ()
    with pytest.raises(ContractError, match="Bob_1 has no gratings"):
        load_dataset_configs(tmp_path, types=["gratings"])


def test_later_transforms_see_what_earlier_ones_exposed(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-05-06")
    transforms = {
        "slow": {"source": "eyepos", "ops": [{"smooth": 2.0}], "expose_as": "eyepos"},
        "speed": {"source": "eyepos", "ops": [{"diff": {}}], "expose_as": "behavior", "concatenate": True},
        "history": {"source": "robs", "ops": [{"select_units": {"indices": "cids"}}], "expose_as": "history"},
    }
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", {**COMPLETE, "transforms": transforms}))
    (signal,) = spec.transforms.behavior
    assert (signal.source, [op.op for op in signal.ops]) == ("eyepos", ["smooth", "diff"])
    assert spec.transforms.unused == ("history",)
    assert any("history" in note for note in spec.notes)


def test_a_session_may_have_its_own_adapter_and_readout_in_either_spelling(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-05-06")
    own = {
        "adapter": {"type": "adapter", "params": {"init_sigma": 2.0}},
        "readout": {"type": "gaussian", "bias": False},
    }
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", {**COMPLETE, **own}))
    assert spec.adapter == AffineAdapter(init_sigma=2.0)
    assert spec.readout == GaussianReadout(bias=False)
    wrong = {"adapter": {"type": "adapter", "params": {"init_sigm": 2.0}}}
    with pytest.raises(UsageError, match=r"unknown key adapter.*init_sigm"):
        load_dataset_configs(config(tmp_path / "two.yaml", {**COMPLETE, **wrong}))


def test_a_template_in_a_folder_is_no_session(tmp_path: Path) -> None:
    for name in ("database_B", "Ada_1"):
        config(tmp_path / f"{name}.yaml", {**COMPLETE, "session": name})
        recording(tmp_path, name)
    config(tmp_path / "multi_base.yaml", {key: value for key, value in COMPLETE.items() if key != "cids"})
    first, second = load_dataset_configs(tmp_path)
    assert [first.name, second.name] == ["Ada_1", "database_B"]
    assert any("multi_base.yaml" in note for note in first.notes)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0.8, (0.8,)), ([0.8, 0.2], (0.8,)), ([0.7, 0.15, 0.15], (0.7, 0.15, 0.15))],
)
def test_fractions_of_trials(tmp_path: Path, given: object, kept: tuple[float, ...]) -> None:
    recording(tmp_path, "Ada_2024-05-06")
    (spec,) = load_dataset_configs(config(tmp_path / "one.yaml", {**COMPLETE, "train_val_split": given}))
    assert spec.train_val_split == kept


def test_the_merge_equals_the_legacy_merge() -> None:
    folder = SHARED / "fixtures" / "dsets" / "head_parent_Allen_2022-01-03"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {SHARED} (set VCTRAIN_SHARED)")
    above = yaml.safe_load((folder / "parent.yaml").read_text())
    child = yaml.safe_load((folder / "sessions" / "Allen_2022-01-03.yaml").read_text())
    merged = deep_merge({k: v for k, v in above.items() if k not in ("session_dir", "sessions")}, child)
    assert {"lab": "yates", **merged} == yaml.safe_load((folder / "merged.expected.yaml").read_text())


@settings(deadline=None)
@given(st.from_regex(r"[A-Z][a-z]{1,8}", fullmatch=True), st.dates())
def test_the_subject_is_what_stands_before_the_date(subject: str, day: Any) -> None:
    assert subject_of(f"{subject}_{day.isoformat()}") == subject
    assert subject_of(f"{subject}_left_{day.isoformat()}_2") == f"{subject}_left"
    assert subject_of(f"{day.isoformat()}_{subject}", "rowley") == subject
    assert subject_of(f"{subject}_x00y32") == subject


def test_reading_configs_imports_no_torch(tmp_path: Path) -> None:
    code = "import sys, vctrain.config.datasets; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
