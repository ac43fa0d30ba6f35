"""A checkpoint meets recordings by session name and cid: other files of its units are used, anything else is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.made_recordings import EYE_VELOCITY, covariates, write, write_config

from vctrain.config.datasets import SessionSpec, load_dataset_configs
from vctrain.data.contract import open_for_checkpoint
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError

CONTEXT = 4
EYE_STIM = {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}]}
NAMES = ("Ada_2024-05-06", "Bob_2024-05-07")


def recorded(folder: Path, seed: int = 0, cids: Any = ((5, 1, 3), (0, 2)), names: Any = NAMES, **more: Any) -> Path:
    """Two sessions of six units, of which the configs use some; a folder of dataset YAMLs."""
    content_options = {key: more.pop(key) for key in ("size", "scale") if key in more}
    scale = content_options.pop("scale", 1.0)
    for i, (name, used) in enumerate(zip(names, cids, strict=True)):
        content = covariates(units=6, seed=seed + i, **content_options)
        content["eyepos"] *= scale
        write(folder / name / "gaborium.dset", content)
        write_config(folder, name, ["gaborium"], used, **more)
    return folder


@pytest.fixture
def stored(tmp_path: Path) -> list[dict[str, Any]]:
    """The descriptions that a checkpoint trained on the recordings in ``trained`` holds."""
    sessions = open_sessions(load_dataset_configs(recorded(tmp_path / "trained")), CONTEXT)
    return [session.describe() for session in sessions]


def opened(folder: Path, stored: list[dict[str, Any]], all_required: bool = False) -> Any:
    return open_for_checkpoint(load_dataset_configs(folder), stored, CONTEXT, all_required=all_required)


def test_the_recordings_trained_on_are_taken_without_a_word(tmp_path, stored) -> None:
    matched = opened(tmp_path / "trained", stored, all_required=True)
    assert [session.cids for session in matched.sessions] == [(5, 1, 3), (0, 2)]
    assert [note for note in matched.notes if "other" in note or "ignored" in note] == []


def test_units_are_matched_by_cid_whatever_the_order_and_the_rest_is_left_out(tmp_path, stored) -> None:
    """Another day, another order of cids, one unit more: columns of robs are those of the checkpoint's units."""
    other = recorded(tmp_path / "other", seed=40, cids=((0, 3, 5, 1), (2, 0)))
    matched = opened(other, stored)
    assert [session.cids for session in matched.sessions] == [(5, 1, 3), (0, 2)]
    robs = torch.load(other / NAMES[0] / "gaborium.dset", weights_only=True)["covariates"]["robs"]
    assert torch.equal(matched.sessions[0].gather([70], frames=9).robs[0], robs[70:79][:, [5, 1, 3]])
    said = " | ".join(matched.notes)
    assert f"session {NAMES[0]}: 1 units that the checkpoint does not know are ignored" in said
    assert "other recordings than those trained on" in said
    assert all(name in said for name in NAMES)


def test_sessions_keep_their_place_in_the_checkpoint_in_any_order(tmp_path, stored) -> None:
    specs = load_dataset_configs(tmp_path / "trained")
    for offered in (specs, specs[::-1]):
        matched = open_for_checkpoint(offered, stored, CONTEXT, all_required=True)
        places = {session.name: session.index for session in matched.sessions}
        assert places == {NAMES[0]: 0, NAMES[1]: 1}
        for session in matched.sessions:
            assert session.gather([70], frames=2).session == places[session.name]
    alone = open_for_checkpoint(specs[1:], stored, CONTEXT, all_required=False)
    assert [session.gather([70], frames=2).session for session in alone.sessions] == [1]
    assert any(f"left out: {NAMES[0]}" in note for note in alone.notes)
    with pytest.raises(ContractError, match=NAMES[0]):
        open_for_checkpoint(specs[1:], stored, CONTEXT, all_required=True)


def test_missing_units_name_session_and_cids(tmp_path, stored) -> None:
    other = recorded(tmp_path / "other", cids=((3, 0), (0, 2)))
    with pytest.raises(ContractError) as caught:
        opened(other, stored)
    assert f"session {NAMES[0]}: checkpoint has 3 units, data has 1 (missing cids 1, 5)" in caught.value.message
    assert caught.value.code == 3
    assert str(other) in caught.value.hint


def test_a_file_without_the_units_is_named_even_if_no_config_lists_them(tmp_path, stored) -> None:
    for name in NAMES:
        write(tmp_path / "bare" / name / "gaborium.dset", covariates(units=4))
    specs = load_dataset_configs(tmp_path / "bare")
    assert all(spec.cids is None for spec in specs)
    with pytest.raises(ContractError, match=rf"session {NAMES[0]}\b.*\b5\b"):
        open_for_checkpoint(specs, stored, CONTEXT, all_required=False)


def test_a_renamed_session_is_not_guessed(tmp_path, stored) -> None:
    renamed = recorded(tmp_path / "other", names=("Ada_2024-05-08", "Bob_2024-05-09"))
    with pytest.raises(ContractError) as caught:
        opened(renamed, stored)
    assert NAMES[0] in caught.value.message
    assert "Ada_2024-05-08" in caught.value.message
    one = recorded(tmp_path / "one", names=("Ada_2024-05-08", NAMES[1]))
    matched = opened(one, stored)
    assert [session.name for session in matched.sessions] == [NAMES[1]]
    assert any("ignored: Ada_2024-05-08" in note for note in matched.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling": {"source_rate": 100, "target_rate": 50}}, r"frame rate is 50.* 100"),
        ({"size": (6, 5)}, r"stimulus size is \[6, 5\].*\[4, 5\]"),
        ({"transforms": {"eye_pos": EYE_VELOCITY["eye_pos"]}}, r"number of behavior columns is 2 .* in the checkpoint"),
    ],
)
def test_recordings_of_another_shape_are_refused(tmp_path, stored, changes, message) -> None:
    with pytest.raises(ContractError, match=rf"session {NAMES[0]}: {message}"):
        opened(recorded(tmp_path / "other", **changes), stored)


def test_normalisers_are_those_of_the_checkpoint(tmp_path, stored) -> None:
    """A gaze that moves twice as far must look so to the twin, not be scaled back to what it was trained on."""
    other = recorded(tmp_path / "other", seed=0, scale=2.0)
    own = open_sessions(load_dataset_configs(other), CONTEXT)[0]
    session = opened(other, stored).sessions[0]
    trained = opened(tmp_path / "trained", stored).sessions[0]
    assert session.pipelines[0].maxima == trained.pipelines[0].maxima
    assert session.pipelines[0].maxima[1] == pytest.approx(own.pipelines[0].maxima[1] / 2, rel=1e-5)
    ours, theirs = (s.gather([70], frames=9).behavior for s in (session, trained))
    assert float((ours[..., :6].abs().sum() - theirs[..., :6].abs().sum()).abs()) > 1e-3


def test_the_split_is_that_of_the_checkpoint(tmp_path, stored) -> None:
    other = recorded(tmp_path / "other", seed=3, train_val_split=0.5)
    (ours, _), (theirs, _) = opened(other, stored).sessions, opened(tmp_path / "trained", stored).sessions
    assert np.array_equal(ours.segments("val"), theirs.segments("val"))


VELOCITY, POSITION = EYE_VELOCITY["eye_vel"], EYE_VELOCITY["eye_pos"]


@pytest.mark.parametrize(
    "transforms",
    [
        {"eye_vel": VELOCITY, "eye_pos": {**POSITION, "ops": [{"symlog": {}}]}},
        {"eye_vel": {**VELOCITY, "ops": [*VELOCITY["ops"], {"mul": 3.0}]}, "eye_pos": POSITION},
        {"eye_pos": POSITION, "eye_vel": VELOCITY},
    ],
    ids=["symlog", "mul", "order"],
)
def test_behaviour_made_otherwise_is_refused(tmp_path, stored, transforms) -> None:
    """As many columns, other numbers: a twin must not be shown them."""
    other = recorded(tmp_path / "other", transforms={"stim": EYE_STIM, **transforms})
    with pytest.raises(ContractError, match="transforms") as caught:
        opened(other, stored)
    assert NAMES[0] in caught.value.message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"transforms": {**EYE_VELOCITY, "stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"mul": 2.0}]}}},
            "movie",
        ),
        ({"datafilters": {"dfs": {"ops": [{"missing_pct": 45}]}}}, r"missing_pct is 45\.0 in the data, None"),
    ],
    ids=["movie", "filter"],
)
def test_another_movie_or_filter_is_refused(tmp_path, stored, more, message) -> None:
    other = recorded(tmp_path / "other", **{"transforms": {"stim": EYE_STIM, **EYE_VELOCITY}, **more})
    with pytest.raises(ContractError, match=message) as caught:
        opened(other, stored)
    assert NAMES[0] in caught.value.message
    assert "contract.json" in caught.value.hint


def test_the_specs_are_not_changed(tmp_path, stored) -> None:
    specs: tuple[SessionSpec, ...] = load_dataset_configs(tmp_path / "trained")
    copies = tuple(replace(spec) for spec in specs)
    open_for_checkpoint(specs, stored, CONTEXT, all_required=True)
    assert specs == copies
