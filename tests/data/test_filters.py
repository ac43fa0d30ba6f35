"""Units count while few enough of their spikes are missing: by covariate, by samples and by windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_recordings import covariates, write, write_config

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.clips import SessionClips
from vctrain.data.opening import open_sessions
from vctrain.data.rates import training_rates
from vctrain.data.report import report_line, session_report
from vctrain.data.session import Session
from vctrain.errors import ContractError

NAME = "Ada_2024-05-06"


def filters(**settings_: object) -> dict[str, object]:
    return {"dfs": {"ops": [{"valid_nlags": 3}, {"missing_pct": settings_ or {"threshold": 45}}], "expose_as": "dfs"}}


def opened(path: Path, context: int = 2) -> Session:
    (session,) = open_sessions(load_dataset_configs(path), context)
    return session


def percent(frames: int, units: int, seed: int = 0) -> torch.Tensor:
    """Percentages that cross the threshold in long stretches, the last unit's mostly above it."""
    generator = np.random.default_rng(seed)
    wave = 40 + 25 * np.sin(np.arange(frames)[:, None] / 40 + generator.uniform(0, 6, units))
    wave[:, -1] += 20
    return torch.from_numpy(wave.astype(np.float32))


def whole(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """(dfs, robs) of all frames of the session, (F, U), gathered trial by trial; 0 where nothing is scored."""
    dfs, robs = np.zeros((session.n_frames, session.n_units)), np.zeros((session.n_frames, session.n_units))
    for start, stop in session.segments().tolist():
        clip: SessionClips = session.gather([start], frames=stop - start)
        dfs[start:stop], robs[start:stop] = clip.dfs[0].numpy(), clip.robs[0].numpy()
    return dfs, robs


@settings(max_examples=25, deadline=None)
@given(factor=st.integers(1, 3), seed=st.integers(0, 99), threshold=st.integers(20, 60))
def test_the_covariate_rule(tmp_path_factory: pytest.TempPathFactory, factor: int, seed: int, threshold: int) -> None:
    folder = tmp_path_factory.mktemp("covariate")
    content = covariates(trials=(61, 90, 75, 80, 66, 91), gaps=[(100, 110)], seed=seed)
    content["missing_pct"] = percent(len(content["stim"]), 3, seed)
    write(folder / NAME / "a.dset", content)
    rates = {"source_rate": 100 * factor, "target_rate": 100}
    plain = opened(write_config(folder, NAME, ["a"], (2, 0), sampling=rates))
    session = opened(
        write_config(folder, NAME, ["a"], (2, 0), sampling=rates, datafilters=filters(threshold=threshold))
    )
    n = session.n_frames
    worst = content["missing_pct"].numpy()[: n * factor].reshape(n, factor, 3).max(1)[:, [2, 0]].astype(np.float64)
    rule = worst < threshold
    rule[:, np.median(worst, 0) >= threshold] = True
    base = whole(plain)[0][:, :1] > 0
    dfs, robs = whole(session)
    np.testing.assert_array_equal(dfs > 0, base & rule)
    # What is counted without reading, and what rates are taken over.
    starts = [start for start, _ in session.segments().tolist()]
    found = session.clip_entries(starts, 30)
    assert found == sum(int((dfs[s : min(s + 30, e)] > 0).sum()) for s, e in session.segments().tolist())
    train = np.zeros((n, 1), bool)
    for start, stop in session.segments("train").tolist():
        train[start:stop] = True
    counted = (dfs > 0) & train
    assert session.entries("train").tolist() == counted.sum(0).tolist()
    expected = np.where(counted, robs, 0).sum(0) / np.maximum(counted.sum(0), 1)
    np.testing.assert_allclose(training_rates(session), expected, rtol=1e-12)


def test_samples_are_interpolated_at_the_time_of_the_bin(session_config, tmp_path: Path) -> None:
    content = covariates()
    path = session_config({"a": content}, cids=(0, 2), datafilters=filters())
    times = np.array([0.5, 2.0, 4.5])
    values = np.array([[10.0, 0, 80], [90.0, 0, 20], [10.0, 0, 20]])
    np.savez(tmp_path / NAME / "missing_pct.npz", t=times, missing_pct=values, cids=[0, 1, 2])
    session = opened(path)
    mask = session.unit_mask(0, session.n_frames)
    assert mask is not None
    at = content["t_bins"].numpy()
    np.testing.assert_array_equal(mask[:, 0], np.interp(at, times, values[:, 0]) < 45)
    np.testing.assert_array_equal(mask[:, 1], np.interp(at, times, values[:, 2]) < 45)
    assert session.describe()["filters"]["missing_pct"] == 45


def test_what_was_dropped_is_reported(session_config, tmp_path: Path) -> None:
    content = covariates(gaps=[(130, 140)])
    content["trial_inds"][540:] = -1
    path = session_config({"a": content}, cids=(0, 2), datafilters=filters())
    np.savez(
        tmp_path / NAME / "missing_pct.npz",
        windows=[[0.0, 10.0], [0.0, 3.0], [3.0, 3.05], [3.05, 10.0]],
        cid=[0, 2, 2, 2],
        missing_pct=[1.0, 90.0, 1.0, 2.0],
    )
    session = opened(path)
    report = session_report(session)
    assert report["frames"] == 600
    # Nine trials of 60, two frames of context each, and two more behind the gap.
    assert report["dropped"] == {"outside trials": 60, "settling": 0, "invalid": 10, "context": 20}
    assert sum(report["scored"].values()) == 600 - 60 - 10 - 20
    base = session.scored("all")
    frames = np.concatenate([np.arange(a, b) for a, b in base.table.tolist()])
    lost = int((frames < 300).sum())
    assert report["missing_pct"] == {
        "entries_dropped": lost,
        "fraction_dropped": lost / (2 * base.total),
        "units_touched": 1,
        "units_dropped": [],
    }
    line = report_line(report)
    assert "dropped 60 outside trials, 10 invalid, 20 context" in line
    assert "missing_pct drops" in line


def test_a_unit_that_never_counts_is_named(session_config, tmp_path: Path) -> None:
    path = session_config({"a": covariates()}, cids=(0, 2), datafilters=filters())
    np.savez(tmp_path / NAME / "missing_pct.npz", windows=[[0, 10], [50, 60]], cid=[0, 2], missing_pct=[1.0, 1.0])
    session = opened(path)
    assert session_report(session)["missing_pct"]["units_dropped"] == [2]
    assert training_rates(session)[1] == 0
    assert "cids 2 altogether" in report_line(session_report(session))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, r"missing_pct has no source: no covariate missing_pct, and none of .*missing_pct\.npz"),
        ({"t": [0.0, 1.0], "missing_pct": [[1.0], [1.0]], "cids": [0]}, r"says nothing of cid 2"),
        ({"t": [1.0, 0.0], "missing_pct": [[1.0], [1.0]], "cids": [0]}, r"missing_pct is \(2, 1\)"),
        ({"t": [0.0], "missing_pct": [[1.0], [1.0]], "cids": [0]}, r"missing_pct is \(2, 1\)"),
        ({"windows": [[1.0, 0.0]], "cid": [0], "missing_pct": [1.0]}, r"windows is \(1, 2\)"),
        ({"mpcts": [1.0]}, r"holds mpcts"),
        (b"not an archive", r"cannot be read as an npz"),
        ({"t": np.array([{}], object)}, r"cannot be read as an npz"),
    ],
)
def test_sources_that_cannot_be_used(session_config, tmp_path: Path, arrays: object, message: str) -> None:
    path = session_config({"a": covariates()}, cids=(0, 2), datafilters=filters())
    file = tmp_path / NAME / "missing_pct.npz"
    if isinstance(arrays, bytes):
        file.write_bytes(arrays)
    elif isinstance(arrays, dict):
        np.savez(file, **arrays)
    with pytest.raises(ContractError, match=message) as error:
        opened(path)
    assert error.value.hint


def test_a_covariate_of_another_width(session_config) -> None:
    content = covariates()
    content["lost"] = torch.zeros(len(content["stim"]), 2)
    path = session_config({"a": content}, datafilters=filters(source="lost"))
    with pytest.raises(ContractError, match="lost has 2 columns, robs 3 units"):
        opened(path)
