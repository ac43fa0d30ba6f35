"""Do arrays become a recording that opens as it was given, in whatever form they come?"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_arrays import FRAMES, NAME, RATE, Lazy, arrays, brute_force
from numpy.typing import NDArray

from vctrain import save_session
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.dset import open_dset
from vctrain.data.inspection.recording import inspect_dset
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError


def test_it_opens_as_it_was_given_and_inspect_finds_nothing(tmp_path: Path) -> None:
    given = arrays()
    saved = save_session(tmp_path / NAME / "gaborium.dset", **given)
    assert (saved.session, saved.type, saved.frames, saved.units, saved.rate_hz) == (NAME, "gaborium", FRAMES, 3, RATE)
    assert (saved.size, saved.trials, saved.frames_without_trial, saved.frames_invalid) == ((4, 5), 10, 0, 0)
    assert saved.notes == ()
    inspected = inspect_dset(saved.path, lambda done, total, what: None)
    assert inspected.findings.problems == []
    assert inspected.usable
    (session,) = open_sessions(load_dataset_configs(tmp_path), context=10)
    assert (session.name, session.types, session.cids, session.behavior_dim) == (NAME, ("gaborium",), (0, 1, 2), 42)
    assert session.n_scored("train") == 8 * 110
    assert session.n_scored("val") == 2 * 110
    clips = session.gather([130, 500], frames=20, context=10)
    for row, start in enumerate((130, 500)):
        np.testing.assert_array_equal(clips.stim[row].squeeze().numpy(), given["stim"][start - 10 : start + 20])
        wanted = [
            [brute_force(u, given["frame_times"], f) for u in given["spike_times"]] for f in range(start, start + 20)
        ]
        np.testing.assert_array_equal(clips.robs[row].numpy(), wanted)


def test_it_opens_through_a_dataset_yaml(tmp_path: Path) -> None:
    for kind in ("gaborium", "backimage"):
        save_session(tmp_path / NAME, type=kind, **arrays(seed=len(kind)))
    config = tmp_path / "data.yaml"
    config.write_text(yaml.safe_dump({"session": NAME, "cids": [2, 0], "types": ["gaborium", "backimage"]}))
    (session,) = open_sessions(load_dataset_configs(config), context=10)
    assert session.n_frames == 2 * FRAMES
    assert session.cids == (2, 0)


def as_memmap(array: NDArray[Any], folder: Path) -> NDArray[Any]:
    np.save(folder / "stim.npy", array)
    return np.load(folder / "stim.npy", mmap_mode="r")


FORMS: dict[str, Callable[[NDArray[Any], Path], Any]] = {
    "tensor": lambda stim, folder: torch.from_numpy(stim),
    "part of a tensor": lambda stim, folder: torch.from_numpy(np.concatenate([stim, stim]))[: len(stim)],
    "list": lambda stim, folder: stim.tolist(),
    "turned": lambda stim, folder: np.ascontiguousarray(stim.transpose(2, 1, 0)).transpose(2, 1, 0),
    "backwards": lambda stim, folder: stim[::-1].copy()[::-1],
    "memmap": as_memmap,
    "lazy": lambda stim, folder: Lazy(stim),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_arrays_make_no_difference(tmp_path: Path, form: str) -> None:
    given = arrays(240)
    plain = save_session(tmp_path / "one" / NAME, type="a", **given)
    stim = FORMS[form](given["stim"], tmp_path)
    if form == "list":
        with pytest.raises(ContractError, match="stim is int64"):
            save_session(tmp_path / "b" / NAME, type="a", **(given | {"stim": stim}))
        stim = given["stim"]
    others = {
        "spike_times": [torch.from_numpy(spikes) for spikes in given["spike_times"]],
        "frame_times": given["frame_times"].astype(">f8"),
        "eyepos": torch.from_numpy(given["eyepos"]).T.contiguous().T,
        "trials": given["trials"].astype(np.float32).tolist(),
    }
    saved = save_session(tmp_path / "two" / NAME, type="a", **(others | {"stim": stim}))
    assert saved.path.stat().st_size == plain.path.stat().st_size
    one, two = open_dset(plain.path), open_dset(saved.path)
    assert one.metadata == two.metadata
    assert one.covariates.keys() == two.covariates.keys()
    for name, covariate in one.covariates.items():
        assert covariate.dtype == two.covariates[name].dtype
        assert torch.equal(covariate, two.covariates[name])
    assert not one.notes


def test_counts_and_rate_alone(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(0.3, (FRAMES, 4))
    stim = arrays()["stim"]
    saved = save_session(
        tmp_path / NAME, stim, type="a", counts=counts.astype(np.uint8), rate_hz=120, rate_true=counts + 0.5
    )
    content = open_dset(saved.path).covariates
    assert content["robs"].dtype is torch.float32
    np.testing.assert_array_equal(content["robs"].numpy(), counts)
    np.testing.assert_array_equal(content["rate_true"].numpy(), counts + 0.5)
    assert "t_bins" not in content  # when these frames were shown was never said
    assert saved.spikes == counts.sum()
    (session,) = open_sessions(load_dataset_configs(tmp_path), context=5)
    assert session.rate_hz == 120
    assert session.has_rate_true


def test_without_frame_times_the_rate_tells_them(tmp_path: Path) -> None:
    stim = arrays()["stim"]
    spikes = [np.array([0.0, 0.0101, 0.0199, 11.999])]
    trials = [[0, 6], [6, 12]]
    saved = save_session(tmp_path / NAME, stim, type="a", spike_times=spikes, rate_hz=RATE, trials=trials)
    content = open_dset(saved.path).covariates
    assert content["robs"][[0, 1, 1199], 0].tolist() == [1, 2, 1]
    assert content["trial_inds"].tolist() == [0] * 600 + [1] * 600
    np.testing.assert_allclose(content["t_bins"], np.arange(FRAMES) / RATE)


def test_units_by_their_own_ids(tmp_path: Path) -> None:
    given = arrays()
    first, second, third = given.pop("spike_times")
    saved = save_session(tmp_path / NAME, type="a", spike_times={254: first, 3: second, np.int64(17): third}, **given)
    dset = open_dset(saved.path)
    assert dset.metadata["unit_ids"] == [254, 3, 17]
    assert dset.covariates["robs"].sum(0).tolist() == [
        save_session(tmp_path / f"{i}" / NAME, type="a", spike_times=[unit], **given).spikes
        for i, unit in enumerate((first, second, third))
    ]


def test_a_unit_that_never_fires_is_told(tmp_path: Path) -> None:
    given = arrays()
    given["spike_times"].insert(1, [])
    saved = save_session(tmp_path / NAME, type="a", **given)
    assert saved.notes == ("1 unit never fire (cid 1); leave them out: nothing to predict",)


def test_gaze_that_is_lost_is_invalid(tmp_path: Path) -> None:
    given = arrays()
    given["eyepos"][100:110, 0] = np.nan
    valid = np.ones(FRAMES, bool)
    valid[105:120] = False
    saved = save_session(tmp_path / NAME, type="a", valid=valid, **given)
    assert saved.frames_invalid == 20
    assert open_dset(saved.path).covariates["dpi_valid"].tolist() == [1] * 100 + [0] * 20 + [1] * (FRAMES - 120)
    assert "5 frames with a gaze that is not finite" in saved.notes[0]
    assert inspect_dset(saved.path, lambda *_: None).findings.problems == []


def test_metadata_and_other_covariates(tmp_path: Path) -> None:
    from collections import OrderedDict

    metadata = {
        "ppd": np.float32(37.5),
        "when": datetime.date(2024, 5, 6),
        "where": Path("/rig/1"),
        "screen": (1920, np.int64(1080)),
        "rect": np.arange(4, dtype=np.uint16),
        "nested": OrderedDict(a=True, b=None, c={"d": {1}}),
    }
    others = {"ori": np.arange(FRAMES, dtype=np.uint16), "roi": np.zeros((FRAMES, 2, 2), np.longdouble)}
    saved = save_session(
        tmp_path / NAME, type="a", metadata=metadata, covariates=others, psth_inds=range(FRAMES), **arrays()
    )
    dset = open_dset(saved.path)
    assert not dset.notes
    kept = dset.metadata
    assert (kept["ppd"], kept["when"], kept["where"], kept["screen"]) == (37.5, "2024-05-06", "/rig/1", [1920, 1080])
    assert kept["rect"].tolist() == [0, 1, 2, 3]
    assert kept["nested"] == {"a": True, "b": None, "c": {"d": [1]}}
    assert dset.covariates["ori"].dtype is torch.int64
    assert dset.covariates["roi"].dtype is torch.float64
    assert dset.covariates["psth_inds"].tolist() == list(range(FRAMES))


def test_the_example_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Path(__file__).parents[3] / "docs" / "making-sessions.md"
    example = guide.read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(example, str(guide), "exec"), {})
    (session,) = open_sessions(load_dataset_configs(tmp_path / "sessions"), context=40)
    assert (session.name, session.n_units, session.rate_hz, session.behavior_dim) == (NAME, 8, 120.0, 42)
    assert inspect_dset(session.recordings[0].path, lambda *_: None).findings.problems == []
