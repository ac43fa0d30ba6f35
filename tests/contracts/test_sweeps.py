"""A sweep's plain loop trains every member, goes on after one that fails, and does nothing again when it is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.made_runs import environment
from runs.made_sweeps import grid_file

from vctrain.runs.listing import runs_at
from vctrain.runs.status import status_of
from vctrain.runs.sweep import plan, write
from vctrain.runs.table import table_of


@pytest.mark.slow
def test_the_plain_loop(tmp_path, tiny_data) -> None:
    # an untrained core that is frozen is refused before there is a run
    common = {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "data.clip_frames": 32}
    points = [{"start.freeze": ["core"]}, {"seed": 5}]
    varied = {"grid": {"optim.lr": [1e-3, 3e-3]}, "points": points}
    grid = grid_file(
        tmp_path,
        tiny_data,
        set={"trainer.accelerator": "cpu", "data.batch_clips": 4, "optim.warmup_steps": 1, **common},
        **varied,
    )
    write(plan(grid), tmp_path / "lr")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "vctrain").write_text(f'#!/bin/bash\nexec {sys.executable} -m vctrain "$@"\n')
    (commands / "vctrain").chmod(0o755)
    environ = environment({"PATH": f"{commands}:{os.environ['PATH']}"})

    def loop() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(tmp_path / "lr" / "sweep.sh")], capture_output=True, text=True, env=environ, timeout=600
        )

    first = loop()
    assert first.returncode == 1, first.stderr
    assert "failed: 002" in first.stderr
    table = table_of([status_of(member) for member in runs_at([tmp_path / "lr"])])
    assert [row["state"] for row in table.rows] == ["done", "done", "failed", "done"]
    assert "ended with 2 before it began" in table.rows[2]["reason"]
    assert {"seed", "optim.lr", "start.freeze"} <= set(table.differing)
    assert [row["val_bps_overall"] is None for row in table.rows] == [False, False, True, False]

    def ended(number: str) -> list[str]:
        events = (tmp_path / "lr" / "runs" / f"lr-{number}" / "events.jsonl").read_text().splitlines()
        return [json.loads(line)["time"] for line in events]

    before = {number: ended(number) for number in ("000", "001", "003")}
    again = loop()
    assert again.returncode == 1
    assert "is done; nothing to do" in again.stderr
    assert {number: ended(number) for number in before} == before
    assert not Path(tmp_path / "lr" / "runs" / "lr-002").exists()
