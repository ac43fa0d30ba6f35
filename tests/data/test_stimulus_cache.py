"""A movie whose operations are not pointwise is computed once for its content, trial by trial, and mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_recordings import EYE_VELOCITY, covariates, write

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.transforms import DaCones, Diff, MaxNorm
from vctrain.data import stimulus_cache
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.data.stimulus import StimChain
from vctrain.errors import ContractError, FaultError

CONES = {"dacones": {"alpha": 0.01, "filter_length": 9, "sampling_rate": 100}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vctrain" / "movies"


def opened(path: Path) -> Session:
    (session,) = open_sessions(load_dataset_configs(path), 4)
    return session


def transforms(*ops: object) -> dict[str, object]:
    return {"stim": {"source": "stim", "ops": list(ops)}}


def test_every_trial_is_a_recording_of_its_own(session_config, cache: Path) -> None:
    content = covariates(trials=(30, 17, 40, 60, 33, 20))
    session = opened(session_config({"a": content}, transforms=transforms(CONES)))
    chain = StimChain([DaCones(**CONES["dacones"])])
    for start, stop in session.segments().tolist():
        clip = session.gather([start], context=0, frames=stop - start)
        expected = chain.apply(content["stim"][start:stop].float())
        torch.testing.assert_close(clip.stim[0], expected, rtol=1e-5, atol=1e-6)
    assert clip.levels is None
    assert len(list(cache.glob("*.npy"))) == 1


def test_frames_beyond_the_trial_are_grey(session_config) -> None:
    session = opened(session_config({"a": covariates()}, transforms=transforms({"diff": 0})))
    clip = session.gather([61], context=4, frames=2)
    assert clip.stim[0, :3].eq(0).all()
    assert clip.stim[0, 4].ne(0).any()


def test_it_is_computed_once_for_the_same_content(session_config, tmp_path: Path, cache: Path, monkeypatch) -> None:
    content = covariates()
    path = session_config({"a": content}, transforms=transforms(CONES))
    before = opened(path).gather([70], frames=3).stim
    calls: list[Path] = []
    compute = stimulus_cache._compute
    monkeypatch.setattr(stimulus_cache, "_compute", lambda *args: (calls.append(args[-1]), compute(*args)))
    assert opened(path).gather([70], frames=3).stim.equal(before)
    # The same bytes under another name and at another time are the same content.
    file = tmp_path / "Ada_2024-05-06" / "a.dset"
    write(file, {**content, "robs": content["robs"] + 1})
    assert opened(path).gather([70], frames=3).stim.equal(before)
    assert calls == []
    changed = content["stim"].clone()
    changed[5, 0, 0] ^= 1
    write(file, {**content, "stim": changed})
    opened(path)
    assert len(calls) == 1
    opened(session_config({"a": content}, transforms=transforms({"dacones": {**CONES["dacones"], "alpha": 0.02}})))
    assert len(calls) == 2


def test_maxima_are_those_of_training_trials(session_config) -> None:
    content = covariates(trials=(40,) * 6)
    content["stim"] = (content["stim"] // 2).clamp(max=100)
    session = opened(session_config({"a": content}, transforms=transforms({"diff": 0}, {"maxnorm": {}})))
    train, val = session.segments("train").tolist(), session.segments("val").tolist()
    content["stim"][val[0][0] + 3] = 255
    session = opened(session_config({"a": content}, transforms=transforms({"diff": 0}, {"maxnorm": {}})))
    largest = max(float(np.abs(np.diff(content["stim"][a:b].numpy().astype(int), axis=0)).max()) for a, b in train)
    assert session.chain.maxima == {1: largest}
    assert session.describe()["transforms"]["stim_maxima"] == {"1": largest}
    clip = session.gather([val[0][0]], context=0, frames=6).stim
    assert float(clip.max()) > 1


def test_a_movie_that_never_changes_has_no_maximum(session_config) -> None:
    content = covariates()
    content["stim"][:] = 127
    path = session_config({"a": content}, transforms=transforms({"diff": 0}, {"maxnorm": {}}))
    with pytest.raises(ContractError, match="never changes"):
        opened(path)


def test_an_unusable_cache_is_said_and_leaves_nothing(session_config, tmp_path: Path, cache: Path) -> None:
    path = session_config({"a": covariates()}, transforms=transforms(CONES))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(FaultError, match="cannot write the movie") as error:
        opened(path)
    assert "VCTRAIN_CACHE" in error.value.hint
    assert error.value.code == 5


def test_an_interrupted_computation_leaves_nothing(session_config, cache: Path, monkeypatch) -> None:
    path = session_config({"a": covariates()}, transforms=transforms(CONES))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StimChain, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(path)
    assert not list(cache.glob("*.npy*"))
    assert not list(cache.glob(".*.npy*"))


def test_the_chain_of_the_config_is_described(session_config) -> None:
    session = opened(session_config({"a": covariates()}, transforms=transforms({"pixelnorm": {}}, {"diff": 0})))
    assert [type(op) for op in session.chain.ops[1:]] == [Diff]
    assert session.describe()["transforms"]["stim"] == [{"pixelnorm": {}}, {"diff": {"axis": 0}}]
    assert MaxNorm() not in session.chain.ops


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY half of a header", b"{"])
def test_a_damaged_file_of_the_cache_is_computed_anew(session_config, cache: Path, damage: bytes) -> None:
    path = session_config({"a": covariates()}, transforms=transforms(CONES))
    before = opened(path).gather([70], frames=3).stim
    for file in cache.iterdir():
        file.write_bytes(damage)
    assert torch.equal(opened(path).gather([70], frames=3).stim, before)


def test_a_session_that_is_refused_leaves_nothing_in_the_cache(session_config, cache: Path) -> None:
    content = covariates()
    content["eyepos"][:] = 1.0
    path = session_config({"a": content}, transforms={**EYE_VELOCITY, **transforms(CONES)})
    with pytest.raises(ContractError, match="eyepos never changes"):
        opened(path)
    assert not cache.exists()


@pytest.mark.parametrize("ops", [[{"mul": 1e6}] * 7, [{"diff": 0}, *[{"mul": 1e6}] * 7]])
def test_a_movie_beyond_float32_is_refused(session_config, cache: Path, ops: list[object]) -> None:
    with pytest.raises(ContractError, match="not finite"):
        opened(session_config({"a": covariates()}, transforms=transforms(*ops)))
    assert not list(cache.glob("*.npy"))
