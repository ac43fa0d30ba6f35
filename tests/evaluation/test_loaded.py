"""A checkpoint as a Python object predicts what the commands do, and refuses to guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_sessions import settings

import vctrain
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.evaluate import Question, evaluate, open_for
from vctrain.evaluation.predict import predict
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training.fit import train

SESSION = "SimA_2024-01-01"


@pytest.fixture(scope="module")
def twin(tiny_run) -> vctrain.LoadedTwin:
    return vctrain.load(tiny_run.folder)


@pytest.fixture(scope="module")
def stretch(tiny_run):
    """One whole trial of validation: movie, behaviour, counts, as the evaluation reads them."""
    matched = open_for(read_checkpoint(tiny_run.folder), Question())
    session = matched.sessions[0]
    start, stop = max(session.segments("val").tolist(), key=lambda segment: segment[1] - segment[0])
    clips = session.gather([start + session.context], frames=stop - start - session.context)
    return session, start, stop, clips.stim[0].numpy(), clips.behavior[0].numpy()


def test_it_predicts_what_vctrain_predict_writes(twin, stretch, tiny_run, tmp_path: Path) -> None:
    session, start, stop, stim, behavior = stretch
    rates = twin.predict(stim, behavior, SESSION)
    assert rates.shape == (stop - start, 4)
    assert np.isnan(rates[: twin.context]).all()
    predict(str(tiny_run.folder), Question(accelerator="cpu"), tmp_path / "rates.npz")
    place, first = session.place_of(start)
    with np.load(tmp_path / "rates.npz") as file:
        frame, kind = file[f"{SESSION}/frame"], file[f"{SESSION}/type"]
        mine = (kind == session.types[place]) & (frame >= first) & (frame < first + stop - start)
        assert mine.sum() > 100
        np.testing.assert_allclose(rates[frame[mine] - first], file[f"{SESSION}/rhat"][mine], rtol=2e-5, atol=1e-7)


def test_a_long_stretch_is_the_same_as_short_ones(twin, stretch) -> None:
    """Beyond one chunk of evaluation, and on floats instead of grey levels."""
    *_, stim, behavior = stretch
    stim, behavior = np.tile(stim, (4, 1, 1)), np.tile(behavior, (4, 1))
    assert len(stim) > 480
    rates = twin.predict(stim, behavior, SESSION)
    as_floats = twin.predict((stim.astype(np.float32) - 127) / 255, torch.from_numpy(behavior), SESSION)
    np.testing.assert_array_equal(rates, as_floats)
    late = twin.predict(stim[200:], behavior[200:], SESSION)
    np.testing.assert_allclose(late[twin.context :], rates[200 + twin.context :], rtol=2e-5, atol=1e-7)


def test_its_face(twin, tiny_run) -> None:
    assert twin.sessions == (SESSION, "SimB_2024-01-02")
    assert twin.units == {SESSION: (0, 1, 2, 3), "SimB_2024-01-02": (0, 1, 2, 3)}
    assert twin.rate_hz == {SESSION: 60.0, "SimB_2024-01-02": 60.0}
    assert twin.context == read_checkpoint(tiny_run.folder).content["context"]
    assert twin.to("cpu") is twin
    lines = repr(twin).splitlines()
    assert lines[0] == f"twin of 2 sessions, 8 units, context {twin.context} frames"
    assert lines[2] == f"  {SESSION}: 4 units, stimulus 16x16, 60 Hz, 42 behaviour columns"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"session": None}, "no session named"),
        ({"session": "SimC"}, "no session 'SimC'"),
        ({"behavior": None}, "behavior is missing"),
        ({"stim": None}, "stim is missing"),
        ({"robs": np.zeros((60, 4))}, "reads no robs"),
        ({"stim": np.zeros((60, 8, 16), np.uint8)}, r"stim has shape \(60, 8, 16\), expected \(F, 16, 16\)"),
        ({"behavior": np.zeros((60, 3))}, r"behavior has shape \(60, 3\), expected \(F, 42\)"),
        ({"behavior": np.zeros((50, 42))}, "expected"),
        ({"stim": np.zeros((60, 16, 16), np.int64)}, "stim is int64"),
        ({"stim": np.zeros((3, 16, 16), np.uint8), "behavior": np.zeros((3, 42))}, "3 frames, and the twin needs"),
    ],
)
def test_it_refuses_to_guess(twin, change: dict, says: str) -> None:
    given = {"stim": np.full((60, 16, 16), 127, np.uint8), "behavior": np.zeros((60, 42)), "session": SESSION}
    with pytest.raises(UsageError, match=says):
        twin.predict(**{**given, **change})


def test_a_twin_of_spike_history_and_of_one_session_without_behaviour(tiny_data: Path, tmp_path: Path) -> None:
    changes = {
        "trainer.max_epochs": 1, "data.max_datasets": 1, "model.history": {"type": "mlp", "num_lags": 4},
        "model.modulator": {"type": "none"},
    }  # fmt: skip
    train(settings(tiny_data, changes), run_dir=tmp_path / "run", provenance={}, argv=["vctrain"])
    twin = vctrain.load(tmp_path / "run")
    (session,) = open_sessions(load_dataset_configs(str(tiny_data), max_datasets=1), twin.context)
    start, stop = session.segments("val")[0]
    clips = session.gather([start + twin.context], frames=stop - start - twin.context, history=twin.context)
    stim, counts = clips.stim[0].numpy(), clips.history[0].numpy()
    behavior = {} if twin.checkpoint.sessions[0]["behavior_dim"] in (None, 0) else {"behavior": clips.behavior[0]}
    rates = twin.predict(stim, robs=counts, **behavior)
    with pytest.raises(UsageError, match="robs is missing"):
        twin.predict(stim, **behavior)
    silent = twin.predict(stim, robs=np.zeros_like(counts), **behavior)
    assert not np.allclose(rates[twin.context :], silent[twin.context :])


def test_bits_per_spike_of_arrays_is_that_of_eval_bps(tiny_run, tmp_path: Path) -> None:
    predict(str(tiny_run.folder), Question(accelerator="cpu"), tmp_path / "rates.npz")
    shown = evaluate(str(tiny_run.folder), accelerator="cpu", replicates=0)["sessions"][SESSION]["units"]
    with np.load(tmp_path / "rates.npz") as file:
        rate, robs, dfs = (file[f"{SESSION}/{name}"] for name in ("rhat", "robs", "dfs"))
    found = vctrain.bits_per_spike(rate, robs, dfs)
    assert found.tolist() == pytest.approx(list(shown.values()), abs=1e-12)
    blank = np.concatenate([np.full((5, 4), np.nan, np.float32), rate])
    padded = np.concatenate([np.ones((5, 4)), robs])
    with_nan = vctrain.bits_per_spike(blank, padded, None if dfs.all() else np.concatenate([np.zeros((5, 4)), dfs]))
    assert with_nan.tolist() == pytest.approx(found.tolist(), abs=1e-12)
    with pytest.raises(ContractError, match="rate has shape"):
        vctrain.bits_per_spike(rate[:, 0], robs)
