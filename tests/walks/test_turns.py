"""Does each walk get its turn in CI, and does everybody who asks for all get all?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from walks.turns import whose_turn

ROOT = Path(__file__).parents[2]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def collected(turn: str | None, marked: str = "walk") -> set[str]:
    environment = {name: value for name, value in os.environ.items() if name != "VCTRAIN_WALKS"}
    environment |= {} if turn is None else {"VCTRAIN_WALKS": turn}
    asked = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", marked, "tests/walks"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {line for line in asked.stdout.splitlines() if "::" in line}


def test_in_as_many_days_as_there_are_walks_each_runs_once() -> None:
    walks = {f"walk {number}" for number in range(5)}
    turns = [whose_turn(walks, f"{day:03}") for day in range(362, 367)]
    assert all(len(turn) == 1 for turn in turns)
    assert set.union(*turns) == walks


def test_what_is_no_turn_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="'today'"):
        whose_turn({"one"}, "today")


def test_pytest_runs_all_walks_or_the_one_whose_turn_it_is() -> None:
    walks = collected(None)
    assert len(walks) >= 5
    assert collected("all") == walks
    (chosen,) = collected("7")
    assert chosen in walks
    assert {chosen} == whose_turn(walks, "7")


def test_ci_runs_one_walk_and_no_walk_twice() -> None:
    assert "VCTRAIN_WALKS=${VCTRAIN_WALKS:-$(date +%j)}" in CI
    assert 'for marked in slow "slurm and not walk" walk; do' in CI
