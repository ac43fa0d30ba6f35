"""A frame's contrast is its own, in every type and at every rate; alpha is a pure function of the step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_recordings import covariates

from vctrain.config.datasets import load_dataset_configs
from vctrain.config.schema import Curriculum
from vctrain.data.curriculum import ContrastWeights, alpha, contrasts
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session


@pytest.fixture
def session(session_config: Callable[..., Path]) -> Session:
    """Two types at half the rate of the files, the second of ten times less contrast."""
    loud, quiet = covariates(seed=1), covariates(seed=2)
    quiet["stim"] = 127 + (quiet["stim"] - 127) // 10
    rates = {"source_rate": 100, "target_rate": 50}
    return open_sessions(load_dataset_configs(session_config({"a": loud, "b": quiet}, sampling=rates)), 4)[0]


def test_a08_the_contrast_is_that_of_the_frame_itself(session: Session) -> None:
    frames = np.array([0, 7, 299, 300, 301, 599])
    movies = [recording.stim for recording in session.recordings]
    expected = [movies[f >= 300][(f - 300 * (f >= 300)) * 2].std() for f in frames.tolist()]
    np.testing.assert_allclose(contrasts(session, frames), expected, rtol=1e-6)
    for frame in frames.tolist():
        shown = session.gather([frame - frame % 30 + 10], context=0, frames=20).stim
        assert shown is not None
        if frame % 30 >= 10:
            assert np.array_equal(session.frame(frame), shown[0, frame % 30 - 10].numpy())


def test_weights_are_relative_to_the_median_over_all_training_frames(session: Session) -> None:
    weights = ContrastWeights(Curriculum(warmup_steps=100), (session,))
    scored = session.scored("train")
    every = contrasts(session, scored.at(np.arange(scored.total)))
    assert weights.median == pytest.approx(float(np.median(every)))
    frames = scored.at(np.arange(0, scored.total, 7))
    for step, rise in ((0, 0.5), (50, 0.75)):
        expected = np.minimum(1, rise * contrasts(session, frames) / weights.median)
        np.testing.assert_allclose(weights.of(np.zeros_like(frames), frames, step), expected)
    assert (weights.of(np.zeros_like(frames), frames, 100) == 1).all()


def test_alpha_rises_from_its_start_to_one_and_then_there_is_none() -> None:
    curriculum = Curriculum(start=0.2, warmup_steps=1000)
    rises = [alpha(step, curriculum) for step in range(1000)]
    assert rises[0] == 0.2
    assert all(a is not None and b is not None and b > a for a, b in itertools.pairwise(rises))
    assert rises[-1] == pytest.approx(1, abs=1e-3)
    assert alpha(1000, curriculum) is None
    assert alpha(10**9, curriculum) is None
