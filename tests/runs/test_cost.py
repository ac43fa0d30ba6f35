"""The cost of a run adds up over its starts, from what its events say."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from made_sessions import settings

from vctrain.runs.cost import cost_of
from vctrain.runs.listing import Member
from vctrain.runs.status import status_of
from vctrain.training import hardware
from vctrain.training.fit import train


def event(kind: str, second: float, **fields: Any) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(1e9 + second, datetime.UTC)
    return {"event": kind, "time": moment.isoformat(), **fields}


def test_starts_add_up_and_steps_taken_again_count_once() -> None:
    events = [
        event("created", 0),
        event("validated", 100, step=10, train_frames=500, energy_wh=2.0),
        event("validated", 200, step=20, train_frames=500, energy_wh=2.0),
        event("preempted", 360),
        event("opened", 1000, session="a"),
        event("resumed", 1010, step=10, validated=True),
        event("validated", 1100, step=20, train_frames=500, energy_wh=1.5),
        event("finished", 1360),
    ]
    found = cost_of(events, 6)
    assert (found["seconds"], found["frames"], found["energy_wh"]) == (720, 1000, 5.5)
    assert found["device_hours"] == pytest.approx(1.2)
    assert found["frames_per_second"] == pytest.approx(1000 / 720)
    assert cost_of(events[:4], 1)["seconds"] == 360
    assert cost_of([], 1) == dict.fromkeys(("seconds", "device_hours", "frames_per_second", "energy_wh")) | {
        "frames": 0
    }


def test_energy_is_the_difference_of_what_the_meters_say(monkeypatch) -> None:
    said = [7.2e6, 7.2e6 + 3.6e6, 7.2e6 + 5.4e6]
    monkeypatch.setattr(hardware, "_meters", lambda devices: ["a meter"])
    monkeypatch.setattr(hardware.EnergyMeter, "_read", lambda self: said.pop(0))
    meter = hardware.EnergyMeter("gpu", 1)
    assert (meter.take(), meter.take()) == (pytest.approx(1.0), pytest.approx(0.5))


def test_a_cpu_tells_no_energy() -> None:
    assert hardware.EnergyMeter("cpu", 2).take() is None


def test_run_json_and_status_tell_the_same(tiny_data: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_data, {"trainer.max_epochs": 2})
    train(chosen, run_dir=tmp_path / "run", provenance={}, argv=["vctrain"])
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["hardware"] == hardware.hardware("cpu", 1, 1)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert run["cost"] == cost_of(events, 1)
    assert run["cost"]["frames"] == sum(event.get("train_frames", 0) for event in events) > 0
    shown = status_of(Member(tmp_path / "run", tmp_path / "run" / "config.yaml"))
    assert (shown.seconds, shown.device_hours) == (run["cost"]["seconds"], run["cost"]["device_hours"])
