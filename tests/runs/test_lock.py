"""One writer a run directory: real processes, dead ones, other hosts, requeued jobs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vctrain.errors import UsageError
from vctrain.runs import lock
from vctrain.runs.lock import NAME, STALE_SECONDS, holder, locked

HERE = Path(__file__).parent
JOB = ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_ID", "RANK", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in JOB:
        monkeypatch.delenv(name, raising=False)


def hold(run: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, str(HERE / "lock_holder.py"), str(run)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_refused_and_the_first_keeps_its_lock(tmp_path: Path) -> None:
    first = hold(tmp_path)
    try:
        assert said(first) == "held"
        before = (tmp_path / NAME).read_text()
        second = hold(tmp_path)
        message, _ = second.communicate(timeout=30)
        assert second.returncode == 2
        assert f"process {first.pid} on {socket.gethostname()}" in message
        assert holder(tmp_path) == f"process {first.pid} on {socket.gethostname()}"
        assert (tmp_path / NAME).read_text() == before
    finally:
        first.communicate(timeout=30)
    assert first.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over_with_a_note(tmp_path: Path, capsys) -> None:
    first = hold(tmp_path)
    assert said(first) == "held"
    first.kill()
    first.wait()
    assert holder(tmp_path) is None
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    told = capsys.readouterr().err
    assert f"process {first.pid} " in told
    assert "taken over" in told
    assert "has ended" in told
    assert list(tmp_path.iterdir()) == []


def test_of_several_that_take_over_one_holds(tmp_path: Path) -> None:
    first = hold(tmp_path)
    assert said(first) == "held"
    first.kill()
    first.wait()
    several = [hold(tmp_path) for _ in range(4)]
    answers = [said(process) for process in several]
    try:
        assert sorted(answer == "held" for answer in answers) == [False, False, False, True]
    finally:
        for process in several:
            process.communicate(timeout=30)


def write(run: Path, silent: float = 0.0, **fields: Any) -> None:
    content = {"host": "elsewhere", "pid": 1, "started": "5", "job": None, "restart": "0", "token": "ab"} | fields
    (run / NAME).write_text(json.dumps(content))
    then = time.time() - silent
    os.utime(run / NAME, (then, then))


def test_another_host_is_believed_until_it_is_silent(tmp_path: Path) -> None:
    write(tmp_path, silent=STALE_SECONDS - 60)
    with pytest.raises(UsageError, match="process 1 on elsewhere") as caught, locked(tmp_path):
        pass
    assert str(tmp_path / NAME) in caught.value.hint
    write(tmp_path, silent=STALE_SECONDS + 60)
    with locked(tmp_path):
        pass
    assert not (tmp_path / NAME).exists()


def test_a_later_process_of_the_same_number_is_not_the_holder(tmp_path: Path) -> None:
    write(tmp_path, host=socket.gethostname(), pid=os.getpid(), started="long ago")
    assert holder(tmp_path) is None
    with locked(tmp_path):
        pass


def test_a_requeued_job_takes_over_from_its_earlier_start(tmp_path: Path, monkeypatch, capsys) -> None:
    write(tmp_path, job="7", restart="0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["restart"] == "1"
    assert "SLURM job 7 was requeued" in capsys.readouterr().err
    write(tmp_path, job="8", restart="0")
    with pytest.raises(UsageError, match="SLURM job 8"), locked(tmp_path):
        pass


def test_processes_started_together_do_not_lock_each_other_out(tmp_path: Path, monkeypatch) -> None:
    for name, value in zip(JOB[:5], ("7", "0", "0", "2", "3"), strict=True):
        monkeypatch.setenv(name, value)
    with locked(tmp_path):
        monkeypatch.setenv("SLURM_PROCID", "1")
        assert holder(tmp_path) is None
        monkeypatch.setenv("SLURM_STEP_ID", "4")
        assert holder(tmp_path) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}', "\0\0"])
def test_half_a_lock_is_taken_over(content: str, tmp_path: Path, capsys) -> None:
    (tmp_path / NAME).write_text(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert "cannot be read" in capsys.readouterr().err


def test_a_lock_that_was_taken_over_is_not_given_back(tmp_path: Path) -> None:
    with locked(tmp_path):
        write(tmp_path)
    assert json.loads((tmp_path / NAME).read_text())["host"] == "elsewhere"


def test_the_holder_says_that_it_is_alive(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    with locked(tmp_path):
        os.utime(tmp_path / NAME, (0, 0))
        until = time.monotonic() + 10
        while (tmp_path / NAME).stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.02)
        assert (tmp_path / NAME).stat().st_mtime > time.time() - 60


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
