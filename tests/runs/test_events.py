"""Events are read from any place on, whole lines only, without what a resumed run took again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vctrain.runs.events import figures_of, read_events, that_hold


def validated(step: int) -> dict[str, object]:
    return {"event": "validated", "step": step}


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(tmp_path) == ([], 0)
    path.write_text(json.dumps(validated(1)) + "\n" + '{"event": "valid')
    events, place = read_events(tmp_path)
    assert events == [validated(1)]
    # a crash cut a line off; what was written then begins on a line of its own
    with path.open("a") as file:
        file.write("\n" + json.dumps(validated(2)) + "\n")
    events, place = read_events(tmp_path, place)
    assert events == [validated(2)]
    assert read_events(tmp_path, place) == ([], place)


@pytest.mark.parametrize(("made", "kept"), [(True, [1, 2, 3]), (False, [1, 2, 3]), (None, [1, 2, 3])])
def test_validations_that_were_made_again_count_once(made: bool | None, kept: list[int]) -> None:
    resumed = {"event": "resumed", "step": 2} | ({} if made is None else {"validated": made})
    again = [validated(3)] if made is not False else [validated(2), validated(3)]
    events = [*map(validated, (1, 2, 3)), resumed, *again]
    assert [event["step"] for event in that_hold(events) if event["event"] == "validated"] == kept


def test_pictures_of_steps_that_were_taken_again_count_once() -> None:
    pictures = [{"event": "pictures", "step": step} for step in (1, 2, 3)]
    resumed = {"event": "resumed", "step": 2, "validated": True}
    held = that_hold([*pictures, resumed, {"event": "pictures", "step": 3, "again": True}])
    assert [(e["step"], "again" in e) for e in held if e["event"] == "pictures"] == [(1, False), (2, False), (3, True)]


def test_figures_have_names_and_subjects_their_means() -> None:
    event = {
        "event": "validated", "v": 1, "time": "now", "step": 3, "epoch": 0, "seconds": 2.5, "lr": 0.1,
        "train_loss": 0.5,
        "val_bps_overall": 0.3, "fraction_of_oracle": None, "val_bps/a": 0.2, "val_bps/b": 0.4, "val_bps/c": None,
        "penalty/l1": 0.0, "curriculum_alpha": 0.5, "session_shares": {"a": 1.0}, "data_wait": 0.01,
        "aux_loss": 0.125,
    }  # fmt: skip
    assert figures_of(event, {"a": "S", "b": "S", "c": "T"}) == {
        "lr": 0.1, "train/loss": 0.5, "val/bps_overall": 0.3, "val_bps/a": 0.2, "val_bps/b": 0.4,
        "val_bps_of_subject/S": pytest.approx(0.3), "penalty/l1": 0.0, "curriculum_alpha": 0.5, "share/session/a": 1.0,
        "pace/data_wait": 0.01, "train/aux_loss": 0.125,
    }  # fmt: skip
