"""What a recording may not be: each fault is one error that names session, file and covariate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import covariates, write

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError

Change = Callable[[dict[str, Any]], Any]


def spoil(name: str, change: Callable[[torch.Tensor], Any]) -> Change:
    return lambda content: content.__setitem__(name, change(content[name]))


def put(name: str, index: Any, value: float) -> Change:
    return lambda content: content[name].__setitem__(index, value)


FAULTS: dict[str, tuple[Change, str]] = {
    "no stim": (lambda c: c.pop("stim"), "covariate stim is missing"),
    "no robs": (lambda c: c.pop("robs"), "covariate robs is missing"),
    "float stim": (spoil("stim", lambda x: x.float()), r"stim is float32 \(600, 4, 5\), not uint8"),
    "flat stim": (spoil("stim", lambda x: x.flatten(1)), "not uint8"),
    "channel stim": (spoil("stim", lambda x: x[:, None]), "not uint8"),
    "empty stim": (spoil("stim", lambda x: x[:, :0]), "not uint8"),
    "short robs": (spoil("robs", lambda x: x[:-1]), "covariate robs has 599 frames, stim has 600"),
    "long dpi_valid": (spoil("dpi_valid", lambda x: torch.cat([x, x])), "dpi_valid has 1200 frames"),
    "a short covariate that is not read": (lambda c: c.__setitem__("roi", torch.zeros(7, 2, 2)), "covariate roi has 7"),
    "a number": (lambda c: c.__setitem__("ppd", torch.tensor(37.5)), "covariate ppd has no axis"),
    "flat robs": (spoil("robs", lambda x: x[:, 0]), "robs is float32"),
    "no unit": (spoil("robs", lambda x: x[:, :0]), "no unit"),
    "text-like trials": (spoil("trial_inds", lambda x: x > 3), "trial_inds is bool"),
    "wide trials": (spoil("trial_inds", lambda x: x[:, None]), "trial_inds is int64"),
    "trials not numbered": (lambda c: c.__setitem__("trial_inds", torch.full((600,), float("nan"))), "not finite"),
    "integer eyepos": (spoil("eyepos", lambda x: x.long()), "eyepos is int64"),
    "gaze of one axis": (spoil("eyepos", lambda x: x[:, :1]), r"eyepos is float32 \(600, 1\), not degrees"),
    "no trial": (spoil("trial_inds", lambda x: x * 0 - 1), "has no trial: trial_inds of .* is negative everywhere"),
    "true rates that are none": (
        lambda c: c.__setitem__("rate_true", torch.full((600, 3), float("nan"))),
        "rate_true is nan at frame 0, cid 0",
    ),
    "true rates of other units": (lambda c: c.__setitem__("rate_true", torch.ones(600, 2)), r"rate_true is \(600, 2\)"),
    "NaN": (put("robs", (17, 2), float("nan")), "robs is nan at frame 17, cid 2"),
    "infinity": (put("robs", (599, 0), float("inf")), "robs is inf at frame 599, cid 0"),
    "negative": (put("robs", (0, 2), -1.0), r"robs is -1\.0 at frame 0, cid 2"),
    "never valid": (spoil("dpi_valid", lambda x: x * 0), "no valid frame: 0 of 600 frames are valid"),
    "one trial": (spoil("trial_inds", lambda x: x * 0), "no train frame: 0 of its 1 trials"),
    "every frame its own trial": (lambda c: c.__setitem__("trial_inds", torch.arange(600)), "no valid frame"),
    "a gaze that never moves": (spoil("eyepos", lambda x: x * 0), "eyepos never changes"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_each_fault_is_named(session_config, fault: str) -> None:
    change, message = FAULTS[fault]
    content = covariates()
    change(content)
    specs = load_dataset_configs(session_config({"gaborium": content}))
    with pytest.raises(ContractError, match=message) as error:
        open_sessions(specs, context=10)
    assert error.value.hint
    assert "\n" not in error.value.message
    assert "Ada_2024-05-06" in error.value.message


def test_faults_of_units_that_are_not_used_do_not_matter(session_config) -> None:
    content = covariates()
    content["robs"][17, 1] = float("nan")
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content}, cids=[0, 2])), 5)
    assert session.cids == (0, 2)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([float("nan"), float("inf"), -1.0, -0.5, float("-inf")]),
    st.integers(0, 599),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
)
def test_a_bad_count_is_found_wherever_it_is(
    tmp_path_factory: pytest.TempPathFactory, value: float, frame: int, dtype: torch.dtype
) -> None:
    folder = tmp_path_factory.mktemp("nan")
    content = covariates(trials=(60,) * 10)
    content["robs"] = content["robs"].to(dtype)
    content["robs"][frame, 1] = value
    write(folder / "Ada_1" / "a.dset", content)
    with pytest.raises(ContractError, match=f"at frame {frame}, cid 1"):
        open_sessions(load_dataset_configs(folder), 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
@pytest.mark.parametrize("cids", [[0, 1, 2], [1, 2], [2, 0]])
def test_a_bad_count_is_found_in_a_bin_whose_sum_is_none(
    session_config, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, cids: list[int]
) -> None:
    """A recording too long to be checked at opening; -1 and 2 make 1."""
    content = covariates()
    content["robs"] = content["robs"].to(dtype)
    content["robs"][[130, 131], 2] = torch.tensor([-1, 2], dtype=dtype)
    sampling = {"source_rate": 200, "target_rate": 100}
    specs = load_dataset_configs(session_config({"gaborium": content}, cids=cids, sampling=sampling))
    with pytest.raises(ContractError, match="at frame 130, cid 2"):
        open_sessions(specs, 5)
    monkeypatch.setattr("vctrain.data.recordings.Recording.check_counts", lambda *_: None)
    (session,) = open_sessions(specs, 5)
    session.gather([70], frames=4)
    with pytest.raises(ContractError, match=r"robs is -1\.0 at frame 130, cid 2"):
        session.gather([40, 63], frames=4)


@pytest.mark.parametrize(("cids", "message"), [([44], "cid 44 is not there"), ([0, 3, 9], "cids 3, 9 are not there")])
def test_a_unit_that_is_not_there(session_config, cids: list[int], message: str) -> None:
    specs = load_dataset_configs(session_config({"gaborium": covariates()}, cids=cids))
    with pytest.raises(ContractError, match=rf"session Ada_2024-05-06: {message}; the file has 3 units \(0\.\.2\)"):
        open_sessions(specs, 5)


def test_units_keep_the_order_of_the_config(session_config) -> None:
    content = covariates()
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content}, cids=[2, 0])), 5)
    clips = session.gather([70], frames=4)
    assert clips.robs[0].equal(content["robs"][70:74][:, [2, 0]])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"size": (4, 6)}, "frames are 4x6, those of gaborium 4x5"),
        ({"units": 4}, "robs has 4 units, that of gaborium 3"),
        ({"eyepos": False, "seed": 1}, "covariate eyepos is missing"),
    ],
)
def test_types_of_a_session_must_agree(session_config, other: dict, message: str) -> None:
    config = session_config({"gaborium": covariates(), "backimage": covariates(**other)})
    with pytest.raises(ContractError, match=message) as error:
        open_sessions(load_dataset_configs(config), 5)
    assert "backimage.dset" in error.value.message


def test_signals_of_a_session_must_be_equally_wide(session_config) -> None:
    narrow, wide = ({**covariates(seed=seed), "pupil": torch.ones(600, 1 + seed)} for seed in (0, 1))
    transforms = {"behavior": {"source": "pupil", "ops": []}}
    config = session_config({"gaborium": narrow, "backimage": wide}, transforms=transforms)
    with pytest.raises(ContractError, match="pupil is not as wide as in gaborium"):
        open_sessions(load_dataset_configs(config), 5)


def test_sessions_must_run_at_one_rate(session_config) -> None:
    one = session_config({"gaborium": covariates()})
    two = session_config(
        {"gaborium": covariates()}, name="Bob_1", sampling={"source_rate": 240, "target_rate": 120}, cids=[0]
    )
    specs = [*load_dataset_configs(one), *load_dataset_configs(two)]
    with pytest.raises(ContractError, match="Bob_1 runs at 120 Hz, Ada_2024-05-06 at 100 Hz"):
        open_sessions(specs, 5)


def test_the_rate_comes_from_the_file_if_the_config_is_silent(tmp_path: Path) -> None:
    write(tmp_path / "Ada_1" / "a.dset", covariates(rate=75.0))
    (session,) = open_sessions(load_dataset_configs(tmp_path), 5)
    assert session.rate_hz == pytest.approx(75.0)
    write(tmp_path / "Ada_1" / "a.dset", covariates(rate=75.0), {"rate_hz": 60})
    (session,) = open_sessions(load_dataset_configs(tmp_path), 5)
    assert session.rate_hz == 60.0


def test_no_rate_anywhere(tmp_path: Path) -> None:
    content = covariates()
    del content["t_bins"]
    write(tmp_path / "Ada_1" / "a.dset", content)
    with pytest.raises(ContractError, match="no frame rate"):
        open_sessions(load_dataset_configs(tmp_path), 5)


def test_a_folder_of_session_folders_needs_no_config(tmp_path: Path) -> None:
    write(tmp_path / "Ada_2024-01-01" / "b.dset", covariates(trials=(80,) * 10, seed=1))
    write(tmp_path / "Ada_2024-01-01" / "a.dset", covariates(trials=(80,) * 10))
    write(tmp_path / "Bob_2024-01-01" / "datasets" / "a.dset", covariates(eyepos=False, units=5))
    ada, bob = open_sessions(load_dataset_configs(tmp_path), 5)
    assert (ada.name, ada.types, ada.cids, ada.behavior_dim) == ("Ada_2024-01-01", ("a", "b"), (0, 1, 2), 42)
    assert (bob.subject, bob.cids, bob.behavior_dim, bob.n_frames) == ("Bob", (0, 1, 2, 3, 4), 0, 600)


def test_recordings_without_trials_are_cut_into_blocks(session_config) -> None:
    content = covariates(trials=(3000,))
    del content["trial_inds"]
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content})), 5)
    assert len(session.segments()) == 10
    assert len(session.segments("train")) == 8
    assert any("no trial_inds" in note for note in session.notes)


def test_the_description_is_plain_and_follows_the_content(session_config) -> None:
    content = covariates()
    config = session_config({"gaborium": content})
    (first,) = open_sessions(load_dataset_configs(config), 5)
    described = first.describe()
    assert described == open_sessions(load_dataset_configs(config), 5)[0].describe()
    assert (described["name"], described["cids"], described["size"]) == ("Ada_2024-05-06", [0, 2], [4, 5])
    assert torch.load(save(described, config.with_suffix(".pt")), weights_only=True) == described
    content["robs"] += 1
    (second,) = open_sessions(load_dataset_configs(session_config({"gaborium": content})), 5)
    assert second.describe()["fingerprint"] != described["fingerprint"]


def save(value: Any, path: Path) -> Path:
    torch.save(value, path)
    return path


def test_a_context_other_than_n_lags_is_noted_once(session_config) -> None:
    filters = {"dfs": {"ops": [{"valid_nlags": {"n_lags": 32}}]}}
    one = session_config({"gaborium": covariates()}, datafilters=filters)
    two = session_config({"gaborium": covariates()}, name="Bob_1", datafilters=filters)
    sessions = open_sessions([*load_dataset_configs(one), *load_dataset_configs(two)], 5)
    notes = [note for session in sessions for note in session.notes]
    assert [note for note in notes if "valid_nlags 32" in note and "5" in note] == notes
    assert len(notes) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.bool])
def test_validity_of_any_type(session_config, dtype: torch.dtype) -> None:
    content = covariates(gaps=[(100, 110)])
    content["dpi_valid"] = content["dpi_valid"].to(dtype)
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content})), 5)
    assert session.n_scored("all") == 600 - 10 * 5 - 10 - 5


def test_counts_of_any_type(session_config) -> None:
    expected = covariates()["robs"]
    for dtype in (torch.uint8, torch.int32, torch.float16, torch.float64, torch.bfloat16):
        content = covariates()
        content["robs"] = content["robs"].to(dtype)
        (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content}, cids=[1, 2])), 5)
        robs = session.gather([66], frames=8).robs
        assert robs.dtype == torch.float32
        assert robs[0].equal(expected[66:74, 1:])


def test_a_recording_shorter_than_one_bin(session_config) -> None:
    content = covariates(trials=(1, 1))
    config = session_config({"gaborium": content}, sampling={"source_rate": 300, "target_rate": 100})
    with pytest.raises(ContractError, match="2 frames, fewer than one bin of 3"):
        open_sessions(load_dataset_configs(config), 0)


def test_frames_are_split_by_trial_number_not_by_run(session_config) -> None:
    content = covariates(trials=(50,) * 12)
    content["trial_inds"] = torch.from_numpy(np.repeat(np.arange(6), 50)).repeat(2)
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": content})), 5)
    train = {int(content["trial_inds"][start]) for start, _ in session.segments("train")}
    val = {int(content["trial_inds"][start]) for start, _ in session.segments("val")}
    assert train | val == set(range(6))
    assert not train & val
