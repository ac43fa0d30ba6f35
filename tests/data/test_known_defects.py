"""Defects of the legacy data pipeline, by their numbers in the list of known defects, do not come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_recordings import covariates, write, write_config

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.transforms import DaCones
from vctrain.data.dset import open_dset
from vctrain.data.filters import unit_validity
from vctrain.data.opening import open_sessions
from vctrain.data.recordings import Recording
from vctrain.data.sampler import ClipSampler
from vctrain.data.stimulus import StimChain
from vctrain.errors import ContractError


def test_a04_clips_are_chronological(session_config) -> None:
    content = covariates()
    (session,) = open_sessions(load_dataset_configs(session_config({"a": content})), 4)
    clips = session.gather([70], frames=3)
    assert clips.stim[0].equal(content["stim"][66:73])


def test_a15_pixelnorm_comes_before_the_cones(session_config, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    cones = {"alpha": 0.01, "filter_length": 8, "sampling_rate": 100}
    transforms = {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"dacones": cones}]}}
    content = covariates()
    (session,) = open_sessions(load_dataset_configs(session_config({"a": content}, transforms=transforms)), 4)
    shown = session.gather([70], context=0, frames=1).stim[0, 0]
    adapt = StimChain([DaCones(**cones)])
    normalised = (content["stim"][60:71].float() - 127) / 255
    assert torch.allclose(shown, adapt.apply(normalised)[-1], atol=1e-7)
    swapped = (adapt.apply(content["stim"][60:71].float())[-1] - 127) / 255
    assert float((shown - swapped).abs().min()) > 0.1


def test_a16_windows_of_valid_times_are_those_windows(session_config, tmp_path) -> None:
    content = {**covariates(trials=(10,), rate=1.0), "t_bins": torch.arange(10.0)}
    filters = {"dfs": {"ops": [{"missing_pct": {"threshold": 45}}], "expose_as": "dfs"}}
    windows = np.array([[1.0, 3.0], [5.0, 7.0], [7.0, 9.0], [0.0, 10.0]])
    path = session_config({"a": content}, datafilters=filters, sampling={"source_rate": 1, "target_rate": 1})
    file = tmp_path / "Ada_2024-05-06" / "missing_pct.npz"
    np.savez(file, windows=windows, cid=[0, 0, 0, 2], missing_pct=[5.0, 10.0, 90.0, 1.0])
    (spec,) = load_dataset_configs(path)
    recording = Recording("Ada", "a", open_dset(spec.files["a"]), 1)
    first, second = unit_validity(spec.missing_pct, [recording], (0, 2), spec.folder)
    assert first.contains(np.arange(10)).astype(int).tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    assert second is None


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.float32])
def test_a17_downsampling_makes_no_alien_trials_and_keeps_partly_valid_bins_out(
    session_config, dtype: torch.dtype
) -> None:
    # trials of odd length, so that bins straddle their boundary
    content = covariates(trials=(51, 49, 53, 47) * 3)
    content["trial_inds"] = (content["trial_inds"] * 7).to(dtype)
    content["dpi_valid"][21] = 0
    config = session_config({"a": content}, sampling={"source_rate": 200, "target_rate": 100})
    (session,) = open_sessions(load_dataset_configs(config), 0)
    assert len(session.segments()) == 12
    assert not session.scored("all").contains(np.array([10]))[0]
    assert session.scored("all").contains(np.array([9, 11])).all()


def test_a18_a_window_never_leaves_its_trial_or_wraps(session_config) -> None:
    content = covariates(trials=(40,) * 15)
    filters = {"dfs": {"ops": [{"valid_nlags": {"n_lags": 2}}]}}
    (session,) = open_sessions(load_dataset_configs(session_config({"a": content}, datafilters=filters)), 12)
    clips = session.gather([0, 40], frames=20)
    assert bool((clips.stim[:, :12] == 127).all())
    assert clips.dfs[:, :12].count_nonzero() == 0
    assert bool((clips.dfs[:, 12:] == 1).all())


def test_a23_every_step_holds_every_session_in_random_order(tmp_path: Path) -> None:
    specs = []
    for name in ("Ada_1", "Bob_1"):
        write(tmp_path / name / "a.dset", covariates())
        specs += load_dataset_configs(write_config(tmp_path, name, ["a"], [0]))
    sessions = open_sessions(specs, 4)
    sampler = ClipSampler(sessions, composition="equal", batch_clips=4, context=4, clip_frames=8, seed=0)
    for step in range(10):
        assert set(sampler.clips(step).session.tolist()) == {0, 1}
    starts = [start for step in range(10) for start in sampler.clips(step).start.tolist()]
    assert starts != sorted(starts)


def test_a27_nothing_leaks_into_another_trial(session_config) -> None:
    content = covariates(trials=(40,) * 15)
    (session,) = open_sessions(load_dataset_configs(session_config({"a": content})), 4)
    before = session.gather([80], context=0, frames=40).behavior
    maximum = session.pipelines[0].maxima[1]
    content["eyepos"][:80] += 50 * torch.randn(80, 2)
    content["eyepos"][120:] -= 50 * torch.randn(480, 2)
    (session,) = open_sessions(load_dataset_configs(session_config({"a": content})), 4)
    session.pipelines[0].maxima[1] = maximum
    after = session.gather([80], context=0, frames=40).behavior
    assert before is not None
    assert after is not None
    assert after.equal(before)


def test_a27_maxima_are_fitted_on_training_trials_of_all_types(session_config) -> None:
    contents = {"a": covariates(seed=1), "b": covariates(seed=2)}
    (session,) = open_sessions(load_dataset_configs(session_config(contents)), 4)
    maximum = session.pipelines[0].maxima[1]
    start, stop = session.segments("val")[0]
    contents["a"]["eyepos"][start:stop] *= 100
    (session,) = open_sessions(load_dataset_configs(session_config(contents)), 4)
    assert session.pipelines[0].maxima[1] == maximum


def test_b01_the_movie_stays_uint8(session_config) -> None:
    (session,) = open_sessions(load_dataset_configs(session_config({"a": covariates()})), 4)
    assert session.gather([70], frames=3).stim.dtype == torch.uint8


def test_b07_no_file_is_left_out_for_its_name_and_units_carry_their_ids(tmp_path: Path) -> None:
    for name in ("database_A", "base_B"):
        write(tmp_path / name / "a.dset", covariates())
        write_config(tmp_path, name, ["a"], [2, 1])
    sessions = open_sessions(load_dataset_configs(tmp_path), 4)
    assert [session.name for session in sessions] == ["base_B", "database_A"]
    assert all(session.describe()["cids"] == [2, 1] for session in sessions)


def test_c04_a_type_that_is_not_there_is_an_error(session_config) -> None:
    config = session_config({"gaborium": covariates()})
    with pytest.raises(ContractError, match="backimage_typo"):
        load_dataset_configs(config, types=["gaborium", "backimage_typo"])


def test_c05_opening_changes_no_generator_and_no_config(session_config) -> None:
    specs = load_dataset_configs(session_config({"a": covariates()}))
    described = repr(specs)
    state = torch.get_rng_state()
    open_sessions(specs, 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(specs) == described
