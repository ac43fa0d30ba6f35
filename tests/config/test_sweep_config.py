"""Are the members of a sweep every combination, the points, and the seeds, and is everything else refused?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.problems import check
from vctrain.config.sweep import SweepConfig
from vctrain.errors import UsageError


def config(**content: object) -> SweepConfig:
    return check(SweepConfig, {"preset": "gaborium", **content}, lambda dotted: "grid.yaml")


def test_the_last_of_the_grid_changes_fastest_and_points_follow() -> None:
    found = config(grid={"a": [1, 2], "b.c": [3, 4]}, points=[{"a": 5}])
    assert list(found.combinations()) == [
        {"a": 1, "b.c": 3}, {"a": 1, "b.c": 4}, {"a": 2, "b.c": 3}, {"a": 2, "b.c": 4}, {"a": 5},
    ]  # fmt: skip


def test_points_alone_and_seeds_alone() -> None:
    assert list(config(points=[{"a": 1}]).combinations()) == [{"a": 1}]
    assert list(config(seeds=3).combinations()) == [{}]


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_there_are_as_many_as_the_product(values) -> None:
    members = list(config(grid={f"k{n}": each for n, each in enumerate(values)}).combinations())
    assert len(members) == math.prod(map(len, values))
    assert all(list(member) == [f"k{n}" for n in range(len(values))] for member in members)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "nothing to vary"),
        ({"grid": {"a": [1]}, "preset": None}, "nothing to start from"),
        ({"grid": {"a": []}}, "at least 1"),
        ({"grid": {"a..b": [1]}}, "dotted path"),
        ({"grid": {"a": 1}}, "grid.a"),
        ({"points": [{"a": 1}, {}]}, "points.1 sets nothing"),
        ({"seeds": 0}, "seeds"),
        ({"grid": {"seed": [1]}, "seeds": 2}, "seed is set by"),
        ({"grid": {"a": [1]}, "set": {"a": 2}}, "a is in set and varies"),
        ({"seeds": 2, "verb": "eval-bps"}, "verb"),
        ({"seeds": 2, "grids": {}}, "unknown key grids"),
        ({"seeds": 2, "slurm": ["time=1"]}, "option of sbatch"),
        ({"seeds": 2, "slurm": ["--array=0-3"]}, "sets this one itself"),
        ({"seeds": 2, "slurm": ["--time=1\nrm -rf x"]}, "option of sbatch"),
    ],
)
def test_what_cannot_be_meant_is_refused(content, said) -> None:
    with pytest.raises(UsageError) as caught:
        config(**content)
    assert said in caught.value.message
    assert "grid.yaml" in caught.value.message
