"""Several ranks end as one: in rank 0's result, or in the one error that ended them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vctrain.errors import BY_CODE, FaultError
from vctrain.runs.supervisor import launched_externally, run_ranks

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The started processes find `rank_jobs`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


def test_rank_0_reports_and_each_rank_has_its_place() -> None:
    result = run_ranks("rank_jobs:report", {"word": "säugling"}, 2)
    assert result == {
        "word": "säugling",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }


@pytest.mark.parametrize(("rank", "code"), [(0, 3), (1, 3), (1, 4)])
def test_an_error_on_any_rank_comes_back_whole_and_ends_the_others(rank: int, code: int) -> None:
    started = time.monotonic()
    with pytest.raises(BY_CODE[code]) as caught:
        run_ranks("rank_jobs:fail_on", {"rank": rank, "code": code, "wait": 60.0}, 2)
    assert type(caught.value) is BY_CODE[code]
    assert caught.value.as_dict() == {"code": code, "message": "robs of session A are broken", "hint": "repair them"}
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_is_a_fault_that_names_it(rank: int) -> None:
    started = time.monotonic()
    with pytest.raises(FaultError, match=rf"rank {rank} of 2 .*signal 9") as caught:
        run_ranks("rank_jobs:die_on", {"rank": rank, "wait": 60.0}, 2)
    assert caught.value.hint
    assert time.monotonic() - started < 40


def test_a_bug_on_a_rank_names_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FaultError, match=r"rank 1 of 2 .*exit code 1"):
        run_ranks("rank_jobs:crash_on", {"rank": 1}, 2)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"RANK": "0", "WORLD_SIZE": "1"}, False),
        ({"RANK": "1", "WORLD_SIZE": "4"}, True),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, True),
    ],
)
def test_ranks_started_by_others_are_recognised(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched_externally() is expected


def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Killed, it cannot end them itself."""
    called = f"run_ranks('rank_jobs:note_and_wait', {{'folder': {str(tmp_path)!r}}}, 2)"
    code = f"from vctrain.runs.supervisor import run_ranks; {called}"
    parent = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    ranks = [Path("/proc") / path.name.removeprefix("pid-") for path in tmp_path.glob("pid-*")]
    assert len(ranks) == 2
    parent.kill()
    parent.wait()
    until = time.monotonic() + 10
    while any(rank.exists() for rank in ranks):
        assert time.monotonic() < until
        time.sleep(0.05)
