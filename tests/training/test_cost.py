"""The cost of a run adds up over its parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_sessions import settings

from vctrain.training import cost
from vctrain.training.cost import Cost, hardware
from vctrain.training.fit import train


def test_parts_add_up(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    first = Cost("cpu", 2, 3, None)
    first.add_frames(500)
    now[0] = 460.0
    found = first.now()
    assert (found["seconds"], found["frames"], found["frames_per_second"]) == (360.0, 500, 1.4)
    assert found["device_hours"] == pytest.approx(0.6)
    assert found["energy_wh"] is None
    second = Cost("cpu", 1, 1, found)
    second.add_frames(220)
    now[0] = 820.0
    found = second.now()
    assert (found["seconds"], found["frames"], found["frames_per_second"]) == (720.0, 720, 1.0)
    assert found["device_hours"] == pytest.approx(0.7)


def test_energy_is_what_the_meters_say(monkeypatch) -> None:
    said = [7.2e6, 7.2e6 + 3.6e6]
    monkeypatch.setattr(cost, "_meters", lambda devices: ["a meter"])
    monkeypatch.setattr(Cost, "_read", lambda self: said.pop(0))
    assert Cost("gpu", 1, 1, {"energy_wh": 2.0}).now()["energy_wh"] == pytest.approx(3.0)


def test_run_json_tells_it(tiny_data: Path, tmp_path: Path) -> None:
    chosen = settings(tiny_data, {"trainer.max_epochs": 2})
    train(chosen, run_dir=tmp_path / "run", provenance={}, argv=["vctrain"])
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["hardware"]["accelerator"] == "cpu"
    assert run["hardware"] == hardware("cpu", 1, 1)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert run["cost"]["frames"] == sum(event.get("train_frames", 0) for event in events) > 0
    assert run["cost"]["seconds"] > 0
    assert run["cost"]["device_hours"] == pytest.approx(run["cost"]["seconds"] / 3600, rel=0.2)
