"""`status`, `table`, `sweep` and `rerun` from the command line: what they print, refuse and import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from runs.made_records import hold, make_run, opened, validated
from runs.made_sweeps import grid_file

from vctrain import cli, console


@pytest.fixture
def call(capsys, monkeypatch):
    """A command of this process: its exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv(console.SETTINGS, "")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leaving:
            cli.main([str(argument) for argument in arguments])
        console.log_to(None)
        console.configure()
        out, err = capsys.readouterr()
        return int(leaving.value.code or 0), out, err

    return run


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder with runs/: done, running, failed, damaged."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "a", sets=["optim.lr=1e-3"], events=[opened(1), validated(60, 10, 0.2)])
    made = [opened(1), validated(60, 10, 0.3, seconds=60.0)]
    hold(make_run(tmp_path / "runs" / "b", "running", sets=["optim.lr=1e-2"], events=made))
    make_run(tmp_path / "runs" / "c", "failed", error="NumericsError: loss\nis \x1b[31mnan")
    (tmp_path / "runs" / "d" / "checkpoints").mkdir(parents=True)
    return tmp_path


def one_object(out: str) -> dict[str, Any]:
    assert out.count("\n") == 1
    content: dict[str, Any] = json.loads(out)
    assert content["ok"] is True
    return content


def test_status_shows_every_run_and_why(lab, call) -> None:
    code, out, _ = call("status")
    assert code == 0
    states = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:5]}
    assert states == {"a": "done", "b": "running", "c": "failed", "d": "damaged"}
    assert "c: failed: NumericsError: loss is \\x1b[31mnan" in out
    assert "d: damaged: no run.json in runs/d" in out
    assert "0.3000" in out
    assert "1/10" in out


def test_status_as_json_is_one_object(lab, call) -> None:
    code, out, _ = call("status", "--json")
    assert code == 0
    found = {run["name"]: run for run in one_object(out)["runs"]}
    assert set(found) == set("abcd")
    assert found["b"]["best_val_bps_overall"] == 0.3
    assert found["b"]["eta_seconds"] is not None
    assert [run["name"] for run in one_object(call("status", "runs/c", "runs/a", "--json")[1])["runs"]] == ["c", "a"]


def test_watch_looks_until_nothing_runs(lab, call) -> None:
    def end() -> None:
        time.sleep(0.5)
        record = json.loads((lab / "runs/b/run.json").read_text())
        (lab / "runs/b/run.json").write_text(json.dumps({**record, "state": "done"}))
        (lab / "runs/b/run.lock").unlink()

    ending = threading.Thread(target=end)
    ending.start()
    code, out, _ = call("status", "--watch", "0.1")
    ending.join()
    assert code == 0
    assert "\x1b" not in out
    assert out.count("running") >= 1
    assert out[out.rindex("val_bps") :].count("running") == 0
    code, _, err = call("status", "--watch", "1", "--json")
    assert code == 2
    assert "--watch" in err


def test_table_shows_what_differs_sorts_and_writes_csv(lab, call) -> None:
    code, out, err = call("table", "runs", "--sort", "val_bps_overall", "--csv", "t.csv")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["b", "a", "c", "d"]
    assert "optim.lr" in out.splitlines()[0]
    assert "c: failed: NumericsError" in out
    assert "wrote t.csv" in err
    assert len((lab / "t.csv").read_text().splitlines()) == 5
    code, _, err = call("table", "runs", "--csv", "t.csv")
    assert code == 2
    assert "choose another --csv" in err
    found = one_object(call("table", "runs", "--json")[1])
    assert found["differing"] == ["optim.lr"]
    assert [row["state"] for row in found["rows"]] == ["done", "running", "failed", "damaged"]


def test_sweep_writes_and_its_table_has_every_member(tmp_path, tiny_data, call, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid_file(tmp_path, tiny_data)
    found = one_object(call("sweep", "grid.yaml", "--out", "sweeps/decay", "--json")[1])
    assert [member["differs"] for member in found["members"]] == [
        {"optim.weight_decay": 0.0}, {"optim.weight_decay": 1e-4},
    ]  # fmt: skip
    assert all(Path(path).is_file() for path in found["scripts"])
    code, out, _ = call("table", "sweeps/decay")
    assert code == 0
    assert out.count("not started") == 2
    assert one_object(call("status", "sweeps", "--json")[1])["runs"][1]["name"] == "decay-001"
    code, _, err = call("sweep", "grid.yaml", "--out", "sweeps/decay")
    assert code == 2
    assert "exists" in err


def test_rerun_says_whether_the_digits_are_the_same(tiny_run, tmp_path, call) -> None:
    code, out, err = call("rerun", tiny_run.folder, "--run-dir", tmp_path / "again")
    assert code == 0, err
    assert f"metrics.csv the same digits as {tiny_run.folder}" in out
    code, out, _ = call("rerun", tiny_run.folder, "--run-dir", tmp_path / "third", "--json")
    assert one_object(out)["same_digits"] is True
    code, _, err = call("rerun", tmp_path / "nowhere")
    assert code in (2, 3)
    assert "hint:" in err


@pytest.mark.parametrize("verb", ["status", "table", "sweep"])
def test_looking_at_runs_imports_no_torch(verb, lab, tiny_data) -> None:
    grid_file(lab, tiny_data)
    arguments = {"status": ["status"], "table": ["table", "runs"], "sweep": ["sweep", "grid.yaml", "--out", "out"]}
    heavy = ["torch", "lightning", "numpy", "matplotlib", *(["vctrain.config.schema"] if verb != "sweep" else [])]
    script = (
        "import sys, atexit\n"
        f"atexit.register(lambda: sys.stderr.write(repr([m for m in {heavy} if m in sys.modules])))\n"
        f"from vctrain.cli import main\nmain({arguments[verb]})\n"
    )
    environment = {**os.environ, console.SETTINGS: ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr.endswith("[]"), done.stderr
