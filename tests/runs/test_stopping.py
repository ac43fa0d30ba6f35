"""Signals ask, times are read as SLURM writes them, and the sooner of two ends counts."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain.errors import Terminated, UsageError
from vctrain.runs.stopping import SIGNALS, SLURM_END, STOP_AT, StopRequest, limit_time, margin, seconds_of, stop_time


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SLURM_END, "SLURM_JOB_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    # what a test sets goes with it
    monkeypatch.setenv(STOP_AT, "0")
    monkeypatch.delenv(STOP_AT)


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_ask_while_they_are_listened_to(number: signal.Signals) -> None:
    request, before = StopRequest(), signal.getsignal(number)
    with request.listening():
        os.kill(os.getpid(), number)
        assert request.reason == number.name
        os.kill(os.getpid(), signal.SIGUSR2 if number != signal.SIGUSR2 else signal.SIGTERM)
        assert request.reason == number.name
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_an_error() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), StopRequest().listening():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_that_an_import_swallowed_is_not_lost(
    number: signal.Signals, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    monkeypatch.setattr("vctrain.ending._told", [number])
    with pytest.raises(raised) as caught, StopRequest().listening():
        pytest.fail("it began")
    assert caught.type is raised
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_time_that_is_over_stays_the_reason() -> None:
    now = [0.0]
    request = StopRequest(stop_at=10.0, clock=lambda: now[0])
    assert request.reason is None
    now[0] = 10.0
    assert request.reason == "the time limit"
    request.ask("SIGTERM")
    assert request.reason == "the time limit"


@given(st.integers(0, 20), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_every_way_to_write_a_time_means_the_same(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert seconds_of(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == total
    assert seconds_of(f"{days}d{hours}h{minutes}m{seconds}s") == total
    assert seconds_of(f"{days * 24 + hours}:{minutes:02}:{seconds:02}") == total
    assert seconds_of(str(total / 60)) == pytest.approx(total)


@pytest.mark.parametrize("text", ["", "soon", "0", "0:00", "1:2:3:4", "-5", "1h 5m", "3:55:00h", "nan", "inf"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time-limit") as caught:
        seconds_of(text)
    assert caught.value.hint


@given(st.floats(1.0, 1e7))
def test_the_margin_leaves_time_to_train(seconds: float) -> None:
    kept = margin(seconds)
    assert 0 < kept <= min(seconds / 2, 180.0)
    assert kept >= min(20.0, seconds / 2)


def test_the_sooner_of_limit_and_job_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setenv(SLURM_END, str(int(now + 36_000)))
    limit_time("1:00:00")
    assert stop_time() == pytest.approx(now + 3600 - 72, abs=5)
    monkeypatch.setenv(SLURM_END, str(int(now + 1000)))
    limit_time(None)
    assert stop_time() == pytest.approx(now + 980, abs=5)
    limit_time("10:00:00")
    assert stop_time() == pytest.approx(now + 980, abs=5)


def test_without_limits_there_is_none() -> None:
    limit_time(None)
    assert stop_time() is None


def a_squeue(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "squeue").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "squeue").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")


@pytest.mark.parametrize(
    ("body", "left"),
    [("echo 1-00:00:00", 86400 - 180), ("echo 10:00", 580), ("echo UNLIMITED", None), ("echo INVALID", None),
     ("exit 1", None), ("echo", None)],
)  # fmt: skip
def test_slurm_is_asked_for_the_time_that_is_left(body, left, tmp_path, monkeypatch) -> None:
    a_squeue(tmp_path / "bin", body, monkeypatch)
    limit_time(None)
    assert stop_time() == (None if left is None else pytest.approx(time.time() + left, abs=5))


def test_only_one_process_of_a_job_asks(tmp_path, monkeypatch) -> None:
    a_squeue(tmp_path / "bin", "echo 10:00", monkeypatch)
    monkeypatch.setenv("SLURM_PROCID", "1")
    limit_time(None)
    assert stop_time() is None
