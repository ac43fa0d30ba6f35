"""Every mistake in a dataset config is one error that names file, path and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_configs import COMPLETE, changed, config, parent, recording

from vctrain.config.datasets import load_dataset_configs
from vctrain.errors import UsageError

UNKNOWN = {
    "top": (["trian_val_split"], "trian_val_split", "train_val_split"),
    "sampling": (["sampling", "source_rat"], "sampling.source_rat", "source_rate"),
    "transform": (["transforms", "eye_vel", "sorce"], "transforms.eye_vel.sorce", "source"),
    "op settings": (
        ["transforms", "eye_vel", "ops", 4, "temporal_basis", "history_bin"],
        "transforms.eye_vel.ops.4.temporal_basis.history_bin",
        "history_bins",
    ),
    "filter": (["datafilters", "dfs", "opps"], "datafilters.dfs.opps", "ops"),
    "filter settings": (
        ["datafilters", "dfs", "ops", 0, "valid_nlags", "n_lag"],
        "datafilters.dfs.ops.0.valid_nlags.n_lag",
        "n_lags",
    ),
    "filter op": (
        ["datafilters", "dfs", "ops", 0],
        "datafilters.dfs.ops.0.valid_nlag",
        "valid_nlags",
    ),
}


@pytest.mark.parametrize("case", list(UNKNOWN))
@pytest.mark.parametrize("style", ["complete", "child", "parent"])
def test_an_unknown_key_names_file_path_and_nearest_key(tmp_path: Path, case: str, style: str) -> None:
    place, dotted, nearest = UNKNOWN[case]
    content = changed(place, {"valid_nlag": {}} if case == "filter op" else 1)
    recording(tmp_path, "Ada_2024-05-06")
    if style == "complete":
        path = wrong = config(tmp_path / "one.yaml", content)
    else:
        path = parent(tmp_path, ["Ada_2024-05-06"])
        wrong = path if style == "parent" else tmp_path / "children" / "Ada_2024-05-06.yaml"
        config(wrong, {**content, **(yaml.safe_load(path.read_text()) if style == "parent" else {}), **content})
    with pytest.raises(UsageError) as error:
        load_dataset_configs(path)
    assert error.value.message == f"unknown key {dotted} in {wrong}"
    assert error.value.hint == f"did you mean {nearest}?"


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.text("abcdefghij_", min_size=9, max_size=14))
def test_an_unknown_key_anywhere_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    folder = tmp_path_factory.mktemp("unknown")
    places = [[], ["sampling"], ["transforms", "stim"], ["transforms", "eye_pos"], ["datafilters", "dfs"]]
    places += [
        ["transforms", "eye_vel", "ops", i, op]
        for i, op in ((0, "diff"), (1, "maxnorm"), (4, "temporal_basis"), (5, "splitrelu"), (6, "smooth"))
    ]
    place = data.draw(st.sampled_from(places))
    path = config(folder / "one.yaml", changed([*place, name], 1))
    with pytest.raises(UsageError) as error:
        load_dataset_configs(path)
    assert f"unknown key {'.'.join(map(str, [*place, name]))} in {path}" == error.value.message


def test_the_misspelt_threshold_is_read_and_said(tmp_path: Path) -> None:
    recording(tmp_path, "Ada_2024-05-06")
    path = config(tmp_path / "one.yaml", changed(["datafilters", "dfs", "ops", 0], {"missing_pct": {"theshold": 30}}))
    (spec,) = load_dataset_configs(path)
    assert spec.missing_pct is not None
    assert spec.missing_pct.threshold == 30
    assert any("theshold is read as threshold" in note for note in spec.notes)


WRONG = {
    "cid twice": (["cids"], [1, 2, 1], "cids .*: listed twice: 1"),
    "no cids": (["cids"], None, "cids is missing"),
    "negative cid": (["cids"], [-1], r"cids\.0"),
    "empty cids": (["cids"], [], "cids"),
    "type twice": (["types"], ["a", "a"], "types .*: listed twice: a"),
    "rates": (["sampling", "target_rate"], 100, "240 is not a multiple of 100"),
    "rates the wrong way round": (["sampling", "target_rate"], 480, "240 is not a multiple of 480"),
    "split": (["train_val_split"], 1.0, "train_val_split"),
    "unknown op": (
        ["transforms", "eye_vel", "ops", 0],
        {"dif": {}},
        "unknown operation 'dif' at transforms.eye_vel.ops.0",
    ),
    "two ops in one": (["transforms", "eye_vel", "ops", 0], {"diff": {}, "symlog": {}}, "one to a list item"),
    "cones": (["transforms", "stim", "ops", 1], {"dacones": {"alfa": 1}}, r"unknown key .*dacones\.alfa"),
    "cones that learn": (["transforms", "stim", "ops", 1], {"dacones": {"learnable_params": True}}, "learnable_params"),
    "whitening": (["transforms", "stim", "ops", 1], {"fftwhitening": {"f_0": -1}}, r"fftwhitening\.f_0"),
    "channels of the movie": (["transforms", "stim", "ops", 1], {"splitrelu": {}}, "splitrelu makes several channels"),
    "units of the movie": (["transforms", "stim", "ops", 1], {"select_units": "cids"}, "select_units"),
    "the spikes themselves": (["transforms", "eye_pos", "source"], "robs", "show the twin the spikes it predicts"),
    "a lag missing": (["keys_lags", "stim"], [0, 1, 3], "lags of stim do not count up"),
    "a negative lag": (["keys_lags", "stim"], [-1, 0, 1], "stim has a negative lag"),
    "a negative single lag": (["keys_lags", "robs"], -1, "robs has a negative lag"),
    "three fractions": (["train_val_split"], [0.7, 0.2, 0.2], r"add up to 1\.1, not to 1"),
    "four fractions": (["train_val_split"], [0.4, 0.2, 0.2, 0.2], "train_val_split"),
    "no training": (["train_val_split"], [0, 0.5, 0.5], "train_val_split"),
    "cones on behaviour": (["transforms", "eye_pos", "ops"], [{"dacones": {}}], "dacones cannot be applied"),
    "stim as another": (["transforms", "stim", "expose_as"], "movie", "exposes stim as 'movie'"),
    "not a number": (["transforms", "eye_vel", "ops", 3], {"mul": "two"}, "mul"),
    "peaks": (["transforms", "eye_vel", "ops", 4, "temporal_basis", "peak_range_ms"], [200, 30], "first peak"),
    "filter name": (["datafilters", "dfs", "expose_as"], "mask", "'mask'"),
    "missing_pct": (["datafilters", "dfs", "ops", 0], {"missing_pct": -45}, r"missing_pct\.threshold"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_values_are_named(tmp_path: Path, case: str) -> None:
    place, value, message = WRONG[case]
    recording(tmp_path, "Ada_2024-05-06")
    path = config(tmp_path / "one.yaml", changed(place, value))
    with pytest.raises(UsageError, match=message) as error:
        load_dataset_configs(path)
    assert str(path) in error.value.message
    assert error.value.hint
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("session: a\n\tcids: [1]\n", r"one\.yaml, line 2: invalid YAML"),
        ("cids: [1]\nsession: x\ncids: [2]\n", r"line 3: invalid YAML: key 'cids' is written twice"),
        ("- 1\n- 2\n", "does not hold a mapping"),
        ("", "does not hold a mapping"),
        ("session: [unclosed\n", "invalid YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "invalid YAML"),
    ],
)
def test_text_that_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_dataset_configs(path)


def test_a_session_listed_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"listed twice: Ada_1"):
        load_dataset_configs(parent(tmp_path, ["Ada_1", "Ada_1"]))
    for name in ("one", "two"):
        config(tmp_path / "folder" / f"{name}.yaml", COMPLETE)
    recording(tmp_path / "folder", "Ada_2024-05-06")
    with pytest.raises(UsageError, match=r"session Ada_2024-05-06 is listed twice: .*one\.yaml and .*two\.yaml"):
        load_dataset_configs(tmp_path / "folder")


def test_a_missing_child(tmp_path: Path) -> None:
    path = parent(tmp_path, ["Ada_1"])
    (tmp_path / "children" / "Ada_1.yaml").unlink()
    with pytest.raises(UsageError, match=r"session Ada_1 of .* has no config"):
        load_dataset_configs(path)


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_dataset_configs(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither dataset configs"):
        load_dataset_configs(tmp_path)
