"""Do the recordings of sessions agree, and is a config described as training would see it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from data.made_recordings import covariates, write, write_config

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.inspection.sessions import InspectedSession, inspect_config, inspect_session
from vctrain.data.opening import open_sessions
from vctrain.data.report import session_report
from vctrain.errors import ContractError, UsageError

ADA, BOB = "Ada_2024-05-06", "Bob_2024-05-07"


def made(**more: Any) -> dict[str, torch.Tensor]:
    content = covariates(**{"trials": (150,) * 10, "units": 4, **more})
    return content | {"eyepos": content["eyepos"] / 20}


def later(content: dict[str, torch.Tensor], seconds: float = 100.0) -> dict[str, torch.Tensor]:
    return content | {"t_bins": content["t_bins"] + seconds}


def of_folder(folder: Path, recordings: dict[str, dict[str, torch.Tensor]], **more: Any) -> InspectedSession:
    for kind, content in recordings.items():
        write(folder / ADA / "datasets" / f"{kind}.dset", content)
    return inspect_session(folder / ADA, more.get("types"), lambda *_: None)


def of_config(folder: Path, **more: Any) -> list[InspectedSession]:
    chosen = {"data_root": None, "types": None, "context": 0, "tell": lambda *_: None, **more}
    return inspect_config(folder, **chosen)


def whats(session: InspectedSession) -> list[str]:
    return [problem.what for problem in session.problems]


def test_types_that_agree(tmp_path):
    session = of_folder(tmp_path, {"backimage": made(), "gaborium": later(made(seed=1))})
    assert (session.problems, session.notes) == ([], [])
    assert session.facts["types"] == ["backimage", "gaborium"]
    assert session.facts["recordings"]["gaborium"]["units"]["n"] == 4


@pytest.mark.parametrize(
    ("other", "said", "blocks"),
    [
        (made(seed=1, size=(4, 6)), "gaborium has frames of size 4x6, backimage 4x5", True),
        (made(seed=1, units=5), "gaborium has units: 5, backimage 4", True),
        (made(seed=1, rate=120.0), "gaborium runs at 120 Hz, backimage at 100 Hz", True),
        (made(), "gaborium holds the same recording as backimage", True),
    ],
)
def test_types_that_do_not_agree(other, said, blocks, tmp_path):
    session = of_folder(tmp_path, {"backimage": made(), "gaborium": later(other)})
    (problem,) = session.problems
    assert (problem.where, problem.what, problem.blocks) == (ADA, said, blocks)
    if blocks:
        with pytest.raises(ContractError):
            open_sessions(load_dataset_configs(tmp_path), 0)


def test_types_that_hold_the_same_frames(tmp_path):
    one, more = made(), later(made(seed=1), 15.0)
    half = {name: torch.cat([value[750:], more[name]]) for name, value in one.items()}
    problem, *_ = of_folder(tmp_path, {"backimage": one, "gaborium": half}).problems
    assert (problem.where, problem.blocks) == (ADA, True)
    assert problem.what == "gaborium holds frames of backimage too, from 7.5 s to 14.99 s"
    with pytest.raises(ContractError, match="holds frames of backimage too"):
        open_sessions(load_dataset_configs(tmp_path), 0)


def test_a_unit_is_silent_only_if_it_fires_in_no_type(tmp_path):
    one, other = made(), later(made(seed=1))
    one["robs"][:, 1] = one["robs"][:, 3] = other["robs"][:, 3] = 0
    session = of_folder(tmp_path, {"backimage": one, "gaborium": other})
    assert whats(session) == ["1 of 4 units never fire in all types (cid 3)"]
    assert [note for note in session.notes if "1 unit never fire in backimage alone (cid 1)" in note]
    assert session.facts["silent"] == [3]


def test_chosen_types(tmp_path):
    recordings = {"backimage": made(), "gaborium": later(made(seed=1, units=5))}
    assert of_folder(tmp_path, recordings, types=["gaborium"]).facts["types"] == ["gaborium"]
    with pytest.raises(UsageError, match="no fixrsvp recording") as caught:
        of_folder(tmp_path, recordings, types=["fixrsvp"])
    assert "backimage, gaborium" in caught.value.hint


@pytest.mark.parametrize("context", [0, 12])
def test_a_config_is_described_as_training_opens_it(context, tmp_path):
    for name, seed in ((ADA, 0), (BOB, 1)):
        content = made(seed=seed, gaps=[(40, 60), (700, 720)])
        content["trial_inds"][300:330] = -1
        write(tmp_path / name / "gaborium.dset", content)
        write_config(tmp_path, name, ["gaborium"], (3, 0, 1), train_val_split=[0.5, 0.25, 0.25], seed=seed)
    judged = of_config(tmp_path, context=context)
    opened = open_sessions(load_dataset_configs(tmp_path), context)
    for session, mine in zip(opened, judged, strict=True):
        report, seen = session_report(session, context), mine.facts["opened"]
        assert (mine.facts["session"], mine.facts["cids"]) == (session.name, list(session.cids))
        assert (seen["dropped"], seen["scored"]) == (report["dropped"], report["scored"])
        assert seen["dropped"]["outside trials"] == 30
        assert seen["behavior_dim"] == session.behavior_dim
        assert sum(seen["trials"].values()) == len(session.segments())
        assert sum(seen["split_frames"].values()) == session.n_frames - 30
        assert "30 frames belong to no trial" in whats(mine)[0]


def test_units_that_the_config_leaves_out_are_not_judged(tmp_path):
    content = made()
    content["robs"][:, 2] = 0
    content["robs"][5, 2] = float("nan")
    write(tmp_path / ADA / "gaborium.dset", content)
    write_config(tmp_path, ADA, ["gaborium"], (3, 0, 1))
    assert [whats(session) for session in of_config(tmp_path)] == [[]]
    write_config(tmp_path, ADA, ["gaborium"], (3, 0, 2))
    (session,) = of_config(tmp_path)
    assert [p.blocks for p in session.problems] == [True, False]
    assert session.facts["opened"] is None


def test_units_silent_in_one_split(tmp_path):
    content = made()
    spec_folder = write(tmp_path / ADA / "gaborium.dset", content).parents[1]
    write_config(tmp_path, ADA, ["gaborium"], (0, 1, 2))
    (opened,) = open_sessions(load_dataset_configs(spec_folder), 0)
    for start, stop in opened.segments("val"):
        content["robs"][start:stop, 1] = 0
    content["robs"][:, 2] = 0
    write(tmp_path / ADA / "gaborium.dset", content)
    (session,) = of_config(tmp_path)
    assert session.facts["opened"]["units_without_spikes"] == {"train": [2], "val": [1, 2]}
    assert whats(session) == [
        "1 of 3 units never fire in gaborium (cid 2)",
        "1 of 3 units without a spike in the val frames (cid 1)",
    ]


def test_a_session_that_is_refused_does_not_hide_the_others(tmp_path):
    write(tmp_path / ADA / "gaborium.dset", made())
    write(tmp_path / BOB / "gaborium.dset", made(seed=1))
    write_config(tmp_path, ADA, ["gaborium"], (0, 9))
    write_config(tmp_path, BOB, ["gaborium"], (0, 1))
    ada, bob = of_config(tmp_path)
    assert (ada.facts["opened"], bob.problems) == (None, [])
    (problem,) = ada.problems
    assert problem.blocks
    assert problem.what == "cid 9 is not there; the file has 4 units (0..3)"


def test_sessions_of_a_config_are_compared(tmp_path):
    for name, rate in ((ADA, 100.0), (BOB, 120.0)):
        write(tmp_path / name / "gaborium.dset", made(rate=rate))
        sampling = {"source_rate": rate, "target_rate": rate}
        write_config(tmp_path, name, ["gaborium"], (0, 1), sampling=sampling)
    _, bob = of_config(tmp_path)
    assert whats(bob) == [
        f"runs at 120 Hz, {ADA} at 100 Hz",
        f"gaborium is the same recording as one of {ADA}",
    ]


def test_unreadable_recordings_and_configs_are_errors(tmp_path):
    path = write(tmp_path / ADA / "gaborium.dset", made())
    config = write_config(tmp_path, ADA, ["gaborium"], (0, 1))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ContractError, match=r"gaborium\.dset"):
        of_config(tmp_path)
    config.write_text(config.read_text() + "sesion: x\n")
    with pytest.raises(UsageError, match="sesion"):
        of_config(tmp_path)


def test_operations_on_the_movie_are_not_computed(tmp_path, monkeypatch):
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    write(tmp_path / ADA / "gaborium.dset", made())
    path = write_config(tmp_path, ADA, ["gaborium"], (0, 1))
    content = yaml.safe_load(path.read_text())
    content["transforms"]["stim"]["ops"] = [{"pixelnorm": {}}, {"dacones": {"filter_length": 8, "sampling_rate": 100}}]
    path.write_text(yaml.safe_dump(content))
    (session,) = of_config(tmp_path)
    assert session.facts["opened"] is not None
    assert [next(iter(op)) for op in session.facts["transforms"]["stim"]] == ["pixelnorm", "dacones"]
    assert any("operations on the movie are not computed" in note for note in session.notes)
    assert not (tmp_path / "cache").exists()


def test_the_lab_recordings(shared):
    (session,) = of_config(shared / "fixtures" / "dsets" / "head_parent_Allen_2022-01-03" / "parent.yaml", context=12)
    assert session.facts["cids"] == list(session.spec.cids)
    assert session.facts["opened"]["missing_pct"]["units_touched"] > 0
    assert all("shorter than 1 s" in what for what in whats(session))
    folder = inspect_session(shared / "fixtures" / "dsets" / "Logan_2020-01-05", None, lambda *_: None)
    assert folder.facts["types"] == ["backimage", "fixrsvp"]
