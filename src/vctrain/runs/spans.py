"""For how long was a run under way, over all its starts, and how fast does it go? From its events alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ENDS = ("finished", "preempted", "interrupted", "failed")
"""Events that end a start of a run; after a kill there is none."""
BESIDE = ("pictures", "reported")
"""Events that others than the training write, also when it has ended: they say nothing about how long it took."""
_FIRST = ("created", "branched", "opened")
_RECENT = 5
"""Validations that tell the present pace."""


def starts(events: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The events of each start of the run: what a command wrote from opening the sessions to its end."""
    current: list[Mapping[str, Any]] = []
    for event in of_training(events):
        if current and _begins(event, current):
            yield current
            current = []
        current.append(event)
    if current:
        yield current


def of_training(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events without those `BESIDE` the training."""
    return [event for event in events if event["event"] not in BESIDE]


def _begins(event: Mapping[str, Any], current: Sequence[Mapping[str, Any]]) -> bool:
    """Every start opens the sessions, each once, before it does anything else."""
    if current[-1]["event"] in ENDS:
        return True
    if event["event"] != "opened":
        return False
    before = current[-1]["event"] not in _FIRST
    return before or any(e["event"] == "opened" and e.get("session") == event.get("session") for e in current)


def seconds_spent(events: Sequence[Mapping[str, Any]], until: float | None) -> float | None:
    """Seconds between beginning and end of every start; the last one, if it has no end, lasts ``until`` (seconds since
    the epoch), or to its last event. None without events.

    A start that was killed counts to the last event that it wrote.
    """
    spent = [(times[0], times[-1]) for start in starts(events) if (times := _times(start))]
    if not spent:
        return None
    if of_training(events)[-1]["event"] not in ENDS and until is not None:
        begun, last = spent[-1]
        spent[-1] = begun, max(last, until)
    return sum(end - begin for begin, end in spent)


def seconds_per_step(events: Sequence[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """Seconds for a step of the present start, validations included, and when the last validation was (seconds since
    the epoch); None before its first."""
    present = list(starts(events))[-1:] or [[]]
    places: list[tuple[int, float]] = []
    for event in present[0]:
        moment = moment_of(event)
        if moment is None:
            continue
        if event["event"] == "resumed":
            places = [(int(event["step"]), moment)]
        elif event["event"] == "validated":
            if not places and isinstance(event.get("seconds"), int | float):
                # since the fit began; the time before it does not come again
                places = [(0, moment - float(event["seconds"]))]
            places.append((int(event["step"]), moment))
    if len(places) < 2:
        return None, None
    (first, begun), (last, ended) = places[-min(len(places), _RECENT + 1)], places[-1]
    return ((ended - begun) / (last - first) if last > first else None), ended


def moment_of(event: Mapping[str, Any]) -> float | None:
    """When an event was written, seconds since the epoch."""
    try:
        return datetime.datetime.fromisoformat(str(event.get("time"))).timestamp()
    except ValueError:
        return None


def _times(events: Sequence[Mapping[str, Any]]) -> list[float]:
    return [moment for event in events if (moment := moment_of(event)) is not None]
