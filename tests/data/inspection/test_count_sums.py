"""Is said of counts what is odd about them, and nothing of the counts of ordinary cells?"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.inspection.findings import Findings
from vctrain.data.inspection.units import BLOCKS, CountSums, judge_counts, judge_dead

FRAMES, UNITS, SECONDS = 6000, 8, 60.0


def spikes(seed: int = 0, mean: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, (FRAMES, UNITS)).astype(np.float32)


def judged(counts: np.ndarray, cids=None, seconds: float | None = SECONDS) -> Findings:
    sums = CountSums(*counts.shape)
    for start in range(0, len(counts), 700):
        sums.add(start, counts[start : start + 700])
    findings = Findings("Ada gaborium")
    judge_counts(sums, cids, seconds, findings)
    return findings


@given(st.integers(1, 400), st.lists(st.integers(1, 399)), st.integers(0, 10))
def test_the_spikes_of_every_part_are_summed_once(frames, cuts, seed):
    counts = np.random.default_rng(seed).integers(0, 4, (frames, 3)).astype(np.float32)
    sums = CountSums(frames, 3)
    edges = [0, *sorted({cut for cut in cuts if cut < frames}), frames]
    for start, stop in itertools.pairwise(edges):
        sums.add(start, counts[start:stop])
    cut = np.linspace(0, frames, BLOCKS + 1).astype(int)
    expected = [counts[a:b].sum(axis=0) for a, b in itertools.pairwise(cut)]
    assert np.array_equal(sums.spikes, np.array(expected))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mean", [0.0005, 0.02, 0.4, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8])
def test_nothing_is_said_of_ordinary_cells(seed, mean, dtype):
    assert judged(spikes(seed, mean).astype(dtype)).problems == []


def test_nothing_is_said_of_cells_that_slow_down_to_a_tenth():
    """Adaptation and drift of the electrode are not a loss."""
    mean = np.linspace(1.0, 0.1, FRAMES)[:, None] * np.ones(UNITS)
    assert judged(np.random.default_rng(0).poisson(mean).astype(np.float32)).problems == []


def _set(where, value):
    def spoil(counts):
        counts[where] = value

    return spoil


def _copy(counts):
    counts[:, 6] = counts[:, 1]


SPOILT = {
    "nan": (_set((slice(900, 902), 2), np.nan), r"not finite 2 times \(first at frame 900, cid 2\)", True),
    "inf": (_set((5, 0), np.inf), r"not finite 1 time \(first at frame 5, cid 0\)", True),
    "negative": (_set((slice(700, 5000, 2), 3), -1), r"negative 2,150 times \(first at frame 700, cid 3\)", True),
    "fraction": (_set((1234, 5), 0.25), r"no whole number 1 time \(first at frame 1,234, cid 5\)", False),
    "lost": (_set((slice(3000, None), 4), 0), r"1 of 8 units silent .*\(cid 4 in the last 50 %\)", False),
    "late": (_set((slice(0, 2000), 7), 0), r"1 of 8 units silent .*\(cid 7 in the first 33 %\)", False),
    "copy": (_copy, r"same counts in every frame: 1=6", False),
    "pause": (_set(slice(1000, 1300), 0), r"no unit fires for 3.0 s in all, first from frame 1,000 to 1,100", False),
    "pause at the end": (_set(slice(4000, None), 0), r"no unit fires for 20.0 s in all, first from frame 4,000", False),
    "too fast": (_set((slice(None), 2), 9), r"1 of 8 units faster than 500 Hz on average \(cid 2\)", False),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_odd_is_said(name):
    spoil, said, blocks = SPOILT[name]
    counts = spikes()
    spoil(counts)
    (problem,) = judged(counts).problems
    assert re.search(said, problem.what), problem.what
    assert problem.blocks is blocks
    assert problem.hint


@pytest.mark.parametrize("name", ["nan", "negative", "fraction", "lost", "late", "copy", "too fast"])
def test_units_that_are_not_used_are_not_judged(name):
    counts = spikes()
    SPOILT[name][0](counts)
    used = {"nan": 2, "negative": 3, "fraction": 5, "lost": 4, "late": 7, "copy": 6, "too fast": 2}[name]
    assert judged(counts, [cid for cid in range(UNITS) if cid != used]).problems == []


def test_what_is_no_count_is_left_out_of_the_sums():
    counts = spikes()
    good = CountSums(*counts.shape)
    good.add(0, np.delete(counts, (10, 11), axis=0))
    counts[10], counts[11] = np.nan, -3
    sums = CountSums(*counts.shape)
    sums.add(0, counts)
    assert np.array_equal(sums.spikes.sum(axis=0), good.spikes.sum(axis=0))


def test_units_that_never_fire():
    findings = Findings("Ada")
    assert judge_dead(np.array([3.0, 0, 5, 0]), [0, 4, 7, 9], findings, "all types") == [4, 9]
    assert findings.problems[0].what == "2 of 4 units never fire in all types (cid 4, 9)"
    assert judge_dead(np.array([3.0]), [0], findings, "it") == []
    assert len(findings.problems) == 1


def test_few_spikes_are_noted():
    counts = spikes()
    counts[:, 1] = 0
    counts[:60, 1] = 1
    assert [note for note in judged(counts).notes if "1 unit with fewer than 100 spikes" in note]
