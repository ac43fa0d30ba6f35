"""Are gaps, order and trials those that a loop over the frames finds?"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.inspection import timeline
from vctrain.data.inspection.findings import Findings
from vctrain.data.inspection.timeline import judge_times, judge_trials, trials_of


def trial_problems(labels, rate: float | None = 100.0, alone: bool = True) -> tuple[dict, list]:
    findings = Findings("Ada gaborium")
    facts = judge_trials(trials_of(torch.as_tensor(labels)), rate, findings, alone)
    return facts, findings.problems


def time_problems(times, labels=None, stated: float | None = None) -> tuple[dict, list]:
    findings = Findings("Ada gaborium")
    trials = None if labels is None else trials_of(torch.as_tensor(labels))
    return judge_times(torch.as_tensor(times), trials, stated, findings), findings.problems


def test_ordinary_trials():
    facts, problems = trial_problems(np.repeat([3, 1, 4], [200, 100, 400]))
    assert problems == []
    assert (facts["n"], facts["stretches"], facts["frames_without"]) == (3, 3, 0)
    assert (facts["median"], facts["shortest"], facts["longest"], facts["length_in"]) == (2.0, 1.0, 4.0, "seconds")


@pytest.mark.parametrize(
    ("labels", "said", "blocks"),
    [
        ([-1.0] * 7 + [0.0] * 200 + [1.0] * 200 + [np.nan] * 3, "10 frames belong to no trial, the first at 0", False),
        (np.repeat([0, 1, 0], 200), "trial numbers come back: 3 stretches of 2 numbers", False),
        (np.repeat([0, 1, 1.5, 2], 200), "fractions in 1 stretch, first 1.5", False),
        (np.repeat([0, 1, 2], [200, 99, 20]), "2 of 3 trials shorter than 1 s", False),
        (np.zeros(500), "one trial only", True),
        (np.full(500, -1), "no trial at all", True),
    ],
)
def test_odd_trials(labels, said, blocks):
    problem = next(p for p in trial_problems(labels)[1] if said in p.what)
    assert problem.blocks is blocks


def test_one_trial_may_do_beside_other_types():
    assert not any(problem.blocks for problem in trial_problems(np.zeros(500), alone=False)[1])


@given(
    st.lists(st.sampled_from([1.0, 1.0, 1.0, 2.0, 3.0, 0.0, -1.0]), min_size=1, max_size=60),
    st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=61, max_size=61),
)
@settings(max_examples=200)
def test_gaps_are_counted_as_a_loop_counts_them(steps, labels):
    steps = [1.0] * 70 + steps
    labels = np.repeat(np.array([5, *labels]), [70, *[1] * 61])[: len(steps) + 1]
    times = np.concatenate([[10.0], 10 + np.cumsum(steps) / 100])
    facts, _ = time_problems(times, labels)
    within = [n for n, step in enumerate(steps) if step > 1.5 and labels[n] == labels[n + 1] >= 0]
    between = [n for n, step in enumerate(steps) if step > 1.5 and n not in within]
    for key, found in (("dropped", within), ("between_trials", between)):
        assert facts[key]["gaps"] == len(found)
        assert facts[key]["frames"] == sum(round(steps[n]) - 1 for n in found)
        assert facts[key]["first"] == (found[0] if found else None)
    assert facts["backwards"] == sum(step <= 0 for step in steps)


def test_gaps_are_found_at_the_seams_of_pieces(monkeypatch):
    monkeypatch.setattr(timeline, "CHUNK_FRAMES", 50)
    for lost in (49, 50, 51, 99, 100):
        times = np.arange(400) / 100 + 0.04 * (np.arange(400) > lost)
        facts, problems = time_problems(times, np.repeat([0, 1], 200))
        assert facts["dropped"] == pytest.approx({"gaps": 1, "frames": 4, "seconds": 0.04, "first": lost})
        assert problems[0].what == f"4 frames dropped in 1 gap of t_bins inside trials, first after frame {lost}"


def test_pauses_between_trials_are_no_problem():
    times = np.arange(400) / 100 + 3.0 * (np.arange(400) >= 200)
    facts, problems = time_problems(times, np.repeat([0, 1], 200))
    assert problems == []
    assert facts["between_trials"]["seconds"] == pytest.approx(3.0)
    facts, problems = time_problems(times)
    assert "300 frames dropped in 1 gap of t_bins in a recording without trials" in problems[0].what


def _swapped():
    times = np.arange(400) / 100
    times[[30, 31]] = times[[31, 30]]
    return times


@pytest.mark.parametrize(
    ("times", "stated", "said"),
    [
        (_swapped(), None, r"does not increase 1 time, first after frame 30"),
        (np.repeat(np.arange(200), 2) / 50, None, r"does not increase 200 times, first after frame 0"),
        (np.arange(400) / 100, 120.0, r"metadata says 120 Hz, t_bins 100 Hz"),
        (np.arange(400) * 10.0, None, r"t_bins has 0.1 frames a second"),
        ((5e4 + np.arange(400) / 240).astype(np.float32), None, r"float32, which at 50001.7 s resolves no better than"),
        (np.zeros(400), None, r"does not increase 399 times"),
    ],
)
def test_odd_times(times, stated, said):
    assert [p for p in time_problems(times, stated=stated)[1] if re.search(said, p.what)]


@pytest.mark.parametrize("times", [np.arange(400) / 240 + 3e4, np.arange(400, dtype=np.float32) / 100])
def test_ordinary_times(times):
    facts, problems = time_problems(times)
    assert problems == []
    assert facts["rate_hz"] == pytest.approx(1 / (times[1] - times[0]), rel=1e-3)
