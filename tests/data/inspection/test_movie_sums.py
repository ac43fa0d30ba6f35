"""Are the figures of a movie those of its frames, and odd movies named?"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.data.inspection.findings import Findings
from vctrain.data.inspection.movie import MovieSums, judge_movie


def noise(frames: int = 100, low: int = 0, high: int = 255, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (frames, 4, 5), dtype=np.uint8)


def judged(movie: np.ndarray, cut: int = 30, of: int | None = None) -> tuple[dict, Findings]:
    sums, findings = MovieSums(), Findings("Ada gaborium")
    for start in range(0, len(movie), cut):
        sums.add(start, movie[start : start + cut])
    return judge_movie(sums, of or len(movie), 100.0, findings), findings


@given(st.integers(0, 50), st.integers(1, 99), st.lists(st.integers(0, 3), min_size=2, max_size=40))
def test_figures_are_those_of_the_frames(seed, cut, shown):
    movie = noise(4, seed=seed)[shown]
    movie[0] = 7
    facts, _ = judged(movie, cut)
    assert facts["mean"] == pytest.approx(movie.mean())
    assert facts["contrast"] == pytest.approx(movie.astype(float).std(axis=(1, 2)).mean() / 127, rel=1e-5)
    assert facts["blank_fraction"] == pytest.approx(np.mean([frame.std() == 0 for frame in movie]))
    repeats = [np.array_equal(a, b) for a, b in itertools.pairwise(movie)]
    assert facts["repeated_fraction"] == pytest.approx(np.mean(repeats))


@pytest.mark.parametrize(
    ("movie", "said"),
    [
        (np.full((100, 4, 5), 127, np.uint8), "stim is 127 everywhere"),
        (np.repeat(noise(1), 100, axis=0), "stim never changes"),
        (noise(high=2), "values 0 and 1 only"),
    ],
)
def test_movies_without_a_stimulus_are_problems(movie, said):
    _, findings = judged(movie)
    assert [said in problem.what for problem in findings.problems] == [True]


def test_ordinary_noise():
    _, findings = judged(noise())
    assert (findings.problems, findings.notes) == ([], [])


def test_oddities_that_need_not_be_mended_are_notes():
    _, findings = judged(np.repeat(noise(high=120), 2, axis=0), of=9000)
    assert findings.problems == []
    (mean, repeats, checked) = findings.notes
    assert "vctrain takes 127 for mean grey" in mean
    assert "50 % of frames repeat the one before, as if shown at 49.7 Hz" in repeats
    assert "movie checked on 200 of 9,000 frames" in checked


def test_frames_apart_are_not_compared():
    sums = MovieSums()
    sums.add(0, noise(1))
    sums.add(50, noise(1))
    assert (sums.n, sums.pairs) == (2, 0)
