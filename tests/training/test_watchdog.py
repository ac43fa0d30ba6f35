"""Who stands still says what it is doing."""

from __future__ import annotations

import pytest

from vctrain.training.callbacks import watchdog as module
from vctrain.training.callbacks.watchdog import Watchdog


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


def test_a_line_after_a_minute_and_whenever_the_time_has_doubled(now: list[float]) -> None:
    watchdog = Watchdog(1, 4)
    watchdog.now("computing rates", 120)
    told = []
    for second in range(1, 600):
        now[0] = float(second)
        if (line := watchdog.look()) is not None:
            told.append(line)
    assert told == [f"rank 1 of 4, step 120: computing rates for {seconds} s" for seconds in (60, 120, 240, 480)]
    watchdog.now("validating chunk 3")
    assert watchdog.look() is None
    assert watchdog.place == "rank 1 of 4, step 120: validating chunk 3"
    now[0] += 60
    assert "step 120: validating chunk 3 for 60 s" in (watchdog.look() or "")


def test_who_goes_on_says_nothing(now: list[float]) -> None:
    watchdog = Watchdog(0, 1)
    for step in range(100):
        watchdog.now("computing rates", step)
        now[0] += 59
        assert watchdog.look() is None
