"""Is the time that a run took, and its pace, what its events tell?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs.made_records import START, events_of, opened, validated

from vctrain.runs.spans import seconds_per_step, seconds_spent, starts


def test_gaps_between_starts_do_not_count() -> None:
    events = events_of(
        (0, "created", {}), opened(1), opened(1, "B"), validated(11, 10, 0.1), (15, "preempted", {}),
        opened(1000), opened(1001, "B"), (1002, "resumed", {"step": 14}),
        validated(1012, 20, 0.2), (1013, "finished", {}),
    )  # fmt: skip
    assert [len(start) for start in starts(events)] == [5, 5]
    assert seconds_spent(events, None) == pytest.approx(15 + 13)


def test_a_killed_start_counts_to_its_last_event_and_the_present_one_until_now() -> None:
    events = events_of(
        (0, "created", {}), opened(1), validated(11, 10, 0.1), opened(500), (501, "resumed", {"step": 10})
    )
    assert seconds_spent(events, START + 511) == pytest.approx(11 + 11)
    assert seconds_spent(events, None) == pytest.approx(11 + 1)


def test_a_start_that_was_killed_while_it_opened_the_sessions_is_told_from_the_next() -> None:
    events = events_of((0, "created", {}), opened(1), opened(2, "B"), opened(900), opened(901, "B"))
    assert seconds_spent(events, START + 902) == pytest.approx(2 + 2)


@pytest.mark.parametrize("kind", ["pictures", "reported"])
def test_what_others_write_into_a_run_takes_no_time_of_it(kind: str) -> None:
    ended = [(0, "created", {}), opened(1), validated(11, 10, 0.1), (12, "finished", {})]
    late = (5000, kind, {"step": 10})
    assert seconds_spent(events_of(*ended, late), START + 9000) == pytest.approx(12)
    killed = events_of(*ended[:3], late, opened(6000), (6003, "preempted", {}), late)
    assert seconds_spent(killed, None) == pytest.approx(11 + 3)
    alone = events_of(late)
    assert seconds_spent(alone, START + 9000) is None


def test_pace_is_that_of_the_last_validations_of_this_start() -> None:
    slow = [validated(100.0 * n, 10 * n, 0.1) for n in range(1, 4)]
    fast = [validated(300 + 20.0 * n, 30 + 10 * n, 0.1) for n in range(1, 7)]
    pace, last = seconds_per_step(events_of(opened(0), *slow, *fast))
    assert pace == pytest.approx(2.0)
    assert last == START + 420
    after = events_of(opened(0), *slow, opened(999), (1000, "resumed", {"step": 30}), validated(1050, 40, 0.1))
    assert seconds_per_step(after)[0] == pytest.approx(5.0)


def test_the_first_validation_tells_the_pace_without_the_time_before_the_fit() -> None:
    assert seconds_per_step(events_of(opened(0), validated(600, 10, 0.1, seconds=50.0)))[0] == pytest.approx(5.0)


def test_nothing_yet_tells_nothing() -> None:
    assert seconds_spent([], None) is None
    assert seconds_per_step([]) == (None, None)
    assert seconds_per_step(events_of((0, "created", {}), opened(1))) == (None, None)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.sampled_from(["opened", "validated", "resumed", "failed", "finished"])))
)
def test_time_spent_is_never_more_than_the_time_that_passed(drawn) -> None:
    ordered = sorted(drawn)
    events = events_of(*((t, kind, {"step": 10, "epoch": 0, "val_bps_overall": 0.0}) for t, kind in ordered))
    spent = seconds_spent(events, None)
    assert (spent is None) == (not events)
    if spent is not None:
        assert 0.0 <= spent <= ordered[-1][0] - ordered[0][0] + 1e-3
