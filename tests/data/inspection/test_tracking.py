"""Is eye tracking judged where it is valid, and as degrees of a living eye?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.inspection import gaze as module
from vctrain.data.inspection.findings import Findings
from vctrain.data.inspection.gaze import judge_gaze, judge_validity

RATE = 100.0


def eye(seed: int = 0, frames: int = 2000) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 2)).cumsum(axis=0).astype(np.float32) * 0.05


def gaze_problems(gaze, valid=None) -> tuple[dict, list]:
    findings = Findings("Ada gaborium")
    covariate = None if valid is None else torch.as_tensor(valid)
    return judge_gaze(torch.as_tensor(gaze), covariate, RATE, findings), findings.problems


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_losses_are_counted_as_a_loop_counts_them(valid):
    facts = judge_validity(torch.tensor(valid).float(), RATE, Findings("Ada"), True)
    lengths = [0]
    for good in valid:
        lengths[-1:] = [lengths[-1], 0] if good else [lengths[-1] + 1]
    assert facts["valid_fraction"] == pytest.approx(np.mean(valid))
    assert facts["losses"] == sum(length > 0 for length in lengths)
    assert facts["longest_loss"] == pytest.approx(max(lengths) / RATE)


@pytest.mark.parametrize(("share", "said"), [(0.0, "0 everywhere"), (0.3, "valid on 30 % of frames only"), (0.6, None)])
def test_little_valid_tracking_is_a_problem(share, said):
    findings = Findings("Ada")
    judge_validity((torch.arange(1000) < 1000 * share).float(), RATE, findings, True)
    assert [said in problem.what and problem.blocks is (share == 0) for problem in findings.problems] == [True] * bool(
        said
    )


def test_an_ordinary_eye():
    facts, problems = gaze_problems(eye())
    assert problems == []
    assert facts["range"][1] == pytest.approx([eye()[:, 1].min(), eye()[:, 1].max()])


def test_what_is_marked_invalid_is_not_judged():
    gaze, valid = eye(), np.ones(2000)
    gaze[100:400], gaze[500:900] = np.nan, 1e4
    valid[100:400] = valid[500:900] = 0
    assert gaze_problems(gaze, valid)[1] == []
    said = [problem.what for problem in gaze_problems(gaze)[1]]
    assert "eyepos is not finite on 300 frames that dpi_valid calls valid, first 100" in said
    assert any("beyond 60 on 20 % of valid frames" in what for what in said)


@pytest.mark.parametrize("chunk", [7, 64, 1 << 18])
def test_a_frozen_eye(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_FRAMES", chunk)
    monkeypatch.setattr("vctrain.data.intervals.CHUNK_FRAMES", chunk)
    gaze, valid = eye(), np.ones(2000)
    gaze[300:450] = gaze[300]
    gaze[900:990] = gaze[900]
    gaze[1200:1400] = gaze[1200]
    valid[1200:1400] = 0
    # a hundred frames, of which one is not marked valid
    gaze[1700:1800] = gaze[1700]
    valid[1700] = 0
    facts, problems = gaze_problems(gaze, valid)
    assert facts["frames_frozen"] == 150
    assert [problem.what for problem in problems] == [
        "eyepos stands still for 1 s or longer, 150 frames in all, marked valid"
    ]


def test_an_eye_that_never_moved():
    gaze = eye()
    gaze[:, 1] = 0
    assert [problem.what for problem in gaze_problems(gaze)[1]] == ["eyepos column 1 never changes"]
