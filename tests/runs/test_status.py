"""Is what `status` says of a run what its directory tells, whatever became of the run?"""

from __future__ import annotations

import json
import os
import socket
import subprocess

import pytest
from runs.made_records import START, hold, make_run, opened, validated

from vctrain.runs.listing import Member, runs_at
from vctrain.runs.lock import STALE_SECONDS
from vctrain.runs.status import Status, status_of


def status(folder, now: float | None = None) -> Status:
    return status_of(Member(folder, folder / "config.yaml"), now)


@pytest.fixture
def ended() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_running_run_has_progress_time_left_and_its_host(tmp_path) -> None:
    events = [opened(1), *(validated(100.0 * n, 10 * n, 0.1 * n) for n in range(1, 4))]
    run = make_run(tmp_path / "run", "running", ["trainer.devices=2"], events, step=30)
    hold(run)
    found = status(run, START + 310)
    assert (found.state, found.reason) == ("running", None)
    assert (found.epoch, found.epochs, found.step, found.steps) == (3, 10, 30, 100)
    assert found.eta_seconds == pytest.approx(70 * 10 - 10)
    assert found.seconds == pytest.approx(310)
    assert found.device_hours == pytest.approx(2 * 310 / 3600)
    assert found.host == socket.gethostname()
    assert found.best.val_bps_overall == pytest.approx(0.3)


def test_time_left_is_not_negative_and_only_of_what_runs(tmp_path) -> None:
    events = [opened(1), validated(100, 10, 0.1, seconds=100.0)]
    run = make_run(tmp_path / "run", "running", [], events)
    hold(run)
    assert status(run, START + 1e6).eta_seconds == 0.0
    other = make_run(tmp_path / "other", "preempted", [], events)
    assert status(other, START + 1e6).eta_seconds is None


@pytest.mark.parametrize("state", ["created", "preempted", "interrupted", "failed"])
def test_whoever_holds_the_lock_and_does_not_train_yet_is_starting(state, tmp_path) -> None:
    run = make_run(tmp_path / "run", state, error="ContractError: old")
    hold(run)
    assert (status(run).state, status(run).reason) == ("starting", None)


@pytest.mark.parametrize("state", ["preempted", "interrupted", "failed", "done"])
def test_without_a_lock_the_state_is_that_of_run_json(state, tmp_path) -> None:
    error = "FaultError: disk full" if state == "failed" else None
    run = make_run(tmp_path / "run", state, error=error)
    assert (status(run).state, status(run).reason) == (state, error)


def test_a_run_whose_process_is_gone_is_lost_and_says_so(tmp_path, ended) -> None:
    run = make_run(tmp_path / "run", "running", events=[opened(1), validated(11, 10, 0.1)])
    hold(run, pid=ended)
    found = status(run)
    assert found.state == "lost"
    assert f"process {ended} has ended" in (found.reason or "")
    assert "resume" in (found.reason or "")
    (run / "run.lock").unlink()
    assert status(run).state == "lost"
    assert status(run).seconds == pytest.approx(11)


def test_a_run_of_another_host_is_lost_when_it_has_been_silent(tmp_path) -> None:
    run = make_run(tmp_path / "run", "running")
    hold(run, host="elsewhere", silent=STALE_SECONDS - 60)
    assert (status(run).state, status(run).host) == ("running", "elsewhere")
    hold(run, host="elsewhere", silent=STALE_SECONDS + 60)
    found = status(run)
    assert found.state == "lost"
    assert "silent for" in (found.reason or "")


def test_a_directory_just_made_is_starting_before_it_has_a_lock(tmp_path) -> None:
    run = make_run(tmp_path / "run", "created")
    assert status(run, START + 5).state == "starting"
    assert status(run, START + 500).state == "lost"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "\xff"])
def test_a_damaged_run_json_is_a_state_with_a_reason(text, tmp_path) -> None:
    run = make_run(tmp_path / "run")
    (run / "run.json").write_bytes(text.encode("latin-1"))
    assert status(run).state == "damaged"
    assert "run.json" in (status(run).reason or "")
    (run / "run.json").unlink()
    assert status(run).state == "damaged"


@pytest.mark.parametrize("text", ["a: [", "- 1", "a: !!python/object:os.system {}"])
def test_damaged_settings_are_a_reason_and_not_the_end(text, tmp_path) -> None:
    run = make_run(tmp_path / "run", events=[validated(11, 10, 0.5)])
    (run / "config.yaml").write_text(text)
    found = status(run)
    assert found.state == "done"
    assert "config.yaml" in (found.reason or "")
    assert found.steps is None
    assert found.best.val_bps_overall == 0.5


@pytest.mark.parametrize(
    "fields", [{"host": "x"}, {"host": None}, {"step": "many"}, {"created": 3, "state": "created"}]
)
def test_odd_fields_of_run_json_are_passed_over(fields, tmp_path) -> None:
    run = make_run(tmp_path / "run", events=[validated(11, 10, 0.5)])
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **fields}))
    assert status(run).step == 10


def test_odd_events_are_passed_over_and_what_cannot_be_read_is_damaged(tmp_path) -> None:
    events = [validated(11, 10, 0.5), (12, "validated", {}), (13, "resumed", {}), (14, "validated", {"step": "x"})]
    run = make_run(tmp_path / "run", events=events)
    assert (status(run).state, status(run).step) == ("done", 10)
    (run / "events.jsonl").unlink()
    (run / "events.jsonl").mkdir()
    assert status(run).state == "damaged"
    assert "events.jsonl" in (status(run).reason or "")


def test_half_an_event_does_not_count(tmp_path) -> None:
    run = make_run(tmp_path / "run", events=[validated(11, 10, 0.5)])
    with (run / "events.jsonl").open("a") as file:
        file.write('{"v": 1, "event": "validated", "step": 20, "val_bps')
    assert status(run).step == 10


def test_validations_that_a_resumed_run_takes_again_do_not_count(tmp_path) -> None:
    events = [opened(1), validated(10, 10, 0.1), validated(20, 20, 0.9), opened(30), (31, "resumed", {"step": 10})]
    found = status(make_run(tmp_path / "run", "preempted", [], events))
    assert (found.step, found.best.val_bps_overall, found.best.step) == (10, 0.1, 10)


def test_the_interval_is_that_of_the_same_figure_only(tmp_path) -> None:
    run = make_run(tmp_path / "run", events=[validated(11, 10, 0.5, fraction_of_oracle=0.8), validated(22, 20, 0.4)])
    result = {"split": "val", "bps_overall": 0.5, "bps_overall_interval": [0.45, 0.55]}
    (run / "eval" / "late").mkdir(parents=True)

    def evaluated(**changes: object) -> object:
        (run / "eval" / "late" / "results.json").write_text(json.dumps({"results": [{**result, **changes}]}))
        return status(run).best.interval

    assert evaluated() == (0.45, 0.55)
    assert status(run).best.fraction_of_oracle == 0.8
    assert evaluated(split="test") is None
    assert evaluated(bps_overall=0.4) is None
    assert evaluated(bps_overall_interval=None) is None


def test_a_finished_run_is_what_it_returned(tiny_run) -> None:
    found = status(tiny_run.folder)
    assert found.state == "done"
    assert found.best.val_bps_overall == tiny_run.result["val_bps_overall"]
    assert found.best.fraction_of_oracle == tiny_run.result["fraction_of_oracle"]
    assert (found.step, found.steps, found.epoch, found.epochs) == (18, 18, 3, 3)
    assert found.seconds == pytest.approx(tiny_run.result["seconds"], abs=2.0)
    assert found.updated is not None


def test_of_a_folder_newest_first_and_odd_members_stay(tmp_path, monkeypatch) -> None:
    for number, name in enumerate(("b", "c", "a")):
        run = make_run(tmp_path / "runs" / name)
        for file in ("run.json", "events.jsonl"):
            os.utime(run / file, (START + number, START + number))
    (tmp_path / "runs" / "a" / "run.json").unlink()
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / ".d.0000.part" / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert [member.path.name for member in runs_at([])] == ["a", "c", "b"]
    assert [status_of(member).state for member in runs_at([])] == ["damaged", "done", "done"]
