"""Clips equal a slow reading of the definition, whatever the trials, gaps, types, downsampling and window."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from made_recordings import EYE_VELOCITY, covariates, write, write_config

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.transforms import TemporalBasis
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.data.signals import basis_matrix
from vctrain.errors import ContractError

BASIS = TemporalBasis(**EYE_VELOCITY["eye_vel"]["ops"][3]["temporal_basis"])


def binned(recording: dict, k: int) -> list[dict]:
    """Every bin of a recording as plain values, by the rule for each kind of covariate."""
    rows = {name: tensor.numpy() for name, tensor in recording.items()}
    bins = []
    for b in range(len(rows["stim"]) // k):
        part = slice(b * k, b * k + k)
        bins.append(
            {
                "stim": rows["stim"][b * k],
                "robs": rows["robs"][part].sum(0),
                "trial": rows["trial_inds"][b * k],
                "valid": (rows["dpi_valid"][part] > 0).all(),
                "eyepos": rows["eyepos"][part].astype(np.float64).mean(0),
            }
        )
    return bins


def behavior_of_trial(eyepos: np.ndarray, maximum: float) -> np.ndarray:
    """The behaviour of one whole trial, sample by sample."""
    velocity = np.vstack([np.zeros((1, 2)), np.diff(eyepos, axis=0)]) / maximum
    velocity = np.sign(velocity) * np.log1p(np.abs(velocity))
    bank = basis_matrix(BASIS).double().numpy()
    left = (BASIS.history_bins + 1) // 2
    columns = []
    for channel in range(2):
        for row in bank:
            out = np.zeros(len(velocity))
            for t in range(len(velocity)):
                for i, weight in enumerate(row):
                    if 0 <= t - left + i < len(velocity):
                        out[t] += weight * velocity[t - left + i, channel]
            columns.append(out)
    filtered = np.stack(columns, 1)
    return np.concatenate([np.maximum(filtered, 0), np.maximum(-filtered, 0), eyepos], 1)


class Reference:
    """A session held in memory and read frame by frame."""

    def __init__(self, recordings: list[dict], k: int, cids: list[int], maximum: float) -> None:
        self.frames: list[dict] = []
        for number, recording in enumerate(recordings):
            for frame in binned(recording, k):
                run = len(self.frames) == 0 or self.frames[-1]["key"][:2] != (number, frame["trial"])
                first = len(self.frames) if run else self.frames[-1]["first"]
                self.frames.append({**frame, "key": (number, frame["trial"]), "first": first})
        for index, frame in enumerate(self.frames):
            frame["in"] = frame["first"]
            frame["robs"] = frame["robs"][cids]
            assert index >= frame["first"]
        for first in sorted({frame["first"] for frame in self.frames}):
            trial = [frame for frame in self.frames if frame["first"] == first]
            behavior = behavior_of_trial(np.stack([frame["eyepos"] for frame in trial]), maximum)
            for frame, row in zip(trial, behavior, strict=True):
                frame["behavior"] = row

    def scored(self, f: int, context: int) -> bool:
        past = range(f - context, f + 1)
        return f - context >= self.frames[f]["first"] and all(self.frames[g]["valid"] for g in past)

    def clip(self, start: int, context: int, length: int) -> dict[str, np.ndarray]:
        trial = self.frames[start]["first"]
        size, units = self.frames[0]["stim"].shape, len(self.frames[0]["robs"])
        stim = np.full((context + length, *size), 127, np.uint8)
        behavior = np.zeros((context + length, 14))
        robs, dfs = np.zeros((length, units)), np.zeros((length, 1))
        for t, f in enumerate(range(start - context, start + length)):
            if not 0 <= f < len(self.frames) or self.frames[f]["first"] != trial:
                continue
            stim[t], behavior[t] = self.frames[f]["stim"], self.frames[f]["behavior"]
            if t >= context:
                robs[t - context] = self.frames[f]["robs"]
                dfs[t - context] = self.scored(f, context)
        return {"stim": stim, "behavior": behavior, "robs": robs, "dfs": dfs}


@st.composite
def worlds(draw: st.DrawFn) -> dict:
    lengths = st.lists(st.integers(1, 45), min_size=6, max_size=9)
    n_types = draw(st.integers(1, 2))
    recordings = []
    for seed in range(n_types):
        trials = [60, *draw(lengths), 60]
        total = sum(trials)
        gap = st.tuples(st.integers(0, total), st.integers(0, 15)).map(lambda g: (g[0], g[0] + g[1]))
        recordings.append(covariates(trials, seed=seed, gaps=draw(st.lists(gap, max_size=4))))
    return {
        "recordings": recordings,
        "factor": draw(st.sampled_from([1, 2, 3])),
        "cids": draw(st.sampled_from([[0], [2, 0], [0, 1, 2], [1, 2]])),
        "context": draw(st.integers(0, 12)),
        "length": draw(st.integers(1, 30)),
        "draws": draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6)),
    }


def opened(folder: Path, world: dict) -> Session:
    types = [f"type{number}" for number in range(len(world["recordings"]))]
    for kind, recording in zip(types, world["recordings"], strict=True):
        write(folder / "Ada_2024-05-06" / f"{kind}.dset", recording)
    config = write_config(
        folder,
        "Ada_2024-05-06",
        types,
        world["cids"],
        sampling={"source_rate": 100 * world["factor"], "target_rate": 100},
        train_val_split=0.5,
    )
    try:
        (session,) = open_sessions(load_dataset_configs(config), 0)
    except ContractError as error:
        # chance has left a split without a frame, which tests of opening cover
        if "has no " not in error.message and "never changes" not in error.message:
            raise
        reject()
    return session


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_clips_equal_the_definition(world: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = opened(Path(folder), world)
        reference = Reference(world["recordings"], world["factor"], world["cids"], session.pipelines[0].maxima[1])
        assert session.n_frames == len(reference.frames)
        starts = [int(u * session.n_frames) for u in world["draws"]]
        context, length = world["context"], world["length"]
        clips = session.gather(starts, context=context, frames=length)
        expected = [reference.clip(start, context, length) for start in starts]
        for name in ("stim", "robs", "dfs"):
            np.testing.assert_array_equal(getattr(clips, name).numpy(), np.stack([clip[name] for clip in expected]))
        assert clips.behavior is not None
        assert session.behavior_dim == 14
        np.testing.assert_allclose(clips.behavior.numpy(), np.stack([c["behavior"] for c in expected]), atol=2e-5)
        counted = session.clip_counts(starts, length, context)
        np.testing.assert_array_equal(counted, [clip["dfs"].sum() for clip in expected])


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_scored_frames_equal_the_definition(world: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = opened(Path(folder), world)
        reference = Reference(world["recordings"], world["factor"], world["cids"], 1.0)
        context = world["context"]
        expected = [f for f in range(session.n_frames) if reference.scored(f, context)]
        found = [f for start, stop in session.scored("all", context).table.tolist() for f in range(start, stop)]
        assert found == expected
        assert session.n_scored("train", context) + session.n_scored("val", context) == len(expected)
        by_trial = {
            split: {reference.frames[a]["key"] for a, _ in session.segments(split)} for split in ("train", "val")
        }
        assert not by_trial["train"] & by_trial["val"]


def test_maximum_is_fitted_on_valid_training_frames(session_config) -> None:
    recording = covariates(trials=(50,) * 20, gaps=[(105, 120)])
    eyepos = recording["eyepos"].numpy()
    eyepos[110] += 1e4
    recording["eyepos"][:] = recording["eyepos"]
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": recording})), 5)
    values = []
    valid = recording["dpi_valid"].numpy() > 0
    for start, stop in session.segments("train"):
        for f in range(start + 1, stop):
            if valid[f] and valid[f - 1]:
                values.append(np.abs(eyepos[f] - eyepos[f - 1]).max())
    assert session.pipelines[0].maxima[1] == pytest.approx(max(values))
    maxima = session.describe()["transforms"]["behavior"][0]["maxima"]
    assert maxima == {"1": session.pipelines[0].maxima[1]}


def test_values_that_are_not_finite_outside_tracking_reach_no_clip(session_config) -> None:
    recording = covariates(trials=(50,) * 20, gaps=[(105, 120)])
    recording["eyepos"][105:120] = float("nan")
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": recording})), 5)
    clips = session.gather([105, 112, 121], frames=20)
    assert clips.behavior is not None
    assert bool(clips.behavior.isfinite().all())
    assert clips.behavior.abs().sum() > 0


def test_no_eye_tracking_means_no_behaviour(session_config) -> None:
    config = session_config({"gaborium": covariates(eyepos=False)})
    (session,) = open_sessions(load_dataset_configs(config), 5)
    assert session.behavior_dim == 0
    assert session.gather([20], frames=4).behavior is None
    assert any("no eyepos" in note for note in session.notes)


def test_a_difference_reaches_one_frame_before_the_clip(session_config) -> None:
    behavior = {"speed": {"source": "eyepos", "ops": [{"diff": {"axis": 0}}, {"mul": -2}], "expose_as": "behavior"}}
    recording = covariates(trials=(50,) * 10)
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": recording}, transforms=behavior)), 0)
    eyepos = recording["eyepos"]
    clips = session.gather([70, 50], context=0, frames=8)
    assert clips.behavior is not None
    np.testing.assert_allclose(clips.behavior[0], -2 * (eyepos[70:78] - eyepos[69:77]), atol=1e-5)
    np.testing.assert_allclose(clips.behavior[1, 1:], -2 * (eyepos[51:58] - eyepos[50:57]), atol=1e-5)
    assert clips.behavior[1, 0].count_nonzero() == 0


def test_smoothing_reflects_at_the_ends_of_a_trial(session_config) -> None:
    ops = [{"smooth": {"type": "gaussian", "params": {"sigma": 1.5}}}]
    behavior = {"gaze": {"source": "eyepos", "ops": ops, "expose_as": "behavior"}}
    recording = covariates(trials=(3, 40, 50, 60, 55, 45))
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": recording}, transforms=behavior)), 0)
    radius = 5
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / 1.5) ** 2)
    weight /= weight.sum()
    for start, stop in session.segments():
        if stop - start <= radius:
            continue
        rows = np.pad(recording["eyepos"].numpy()[start:stop].astype(float), ((radius, radius), (0, 0)), mode="reflect")
        expected = np.stack([(rows[t : t + 2 * radius + 1] * weight[:, None]).sum(0) for t in range(stop - start)])
        clips = session.gather([start], context=0, frames=int(stop - start))
        np.testing.assert_allclose(clips.behavior[0].numpy(), expected, atol=1e-4)


def test_true_rates_are_gathered_and_summed(session_config) -> None:
    recording = covariates()
    recording["rate_true"] = recording["robs"] * 0.25 + 0.1
    config = session_config({"gaborium": recording}, sampling={"source_rate": 200, "target_rate": 100})
    (session,) = open_sessions(load_dataset_configs(config), 3)
    assert session.has_rate_true
    clips = session.gather([10], frames=5, rate_true=True)
    assert clips.rate_true is not None
    assert clips.rate_true.numpy() == pytest.approx(clips.robs.numpy() * 0.25 + 0.2)
    assert session.gather([10], frames=5).rate_true is None


def test_a_frame_is_the_same_in_every_clip_that_holds_it(session_config) -> None:
    (session,) = open_sessions(load_dataset_configs(session_config({"gaborium": covariates(gaps=[(70, 75)])})), 6)
    one = session.gather([66], frames=40)
    two = session.gather([80], frames=20)
    assert one.behavior is not None
    assert two.behavior is not None
    assert one.stim[0, 14:40].equal(two.stim[0])
    assert one.dfs[0, 14:34].equal(two.dfs[0])
    np.testing.assert_allclose(one.behavior[0, 14:40], two.behavior[0], atol=1e-6)
