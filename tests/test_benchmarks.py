"""The entry point of the benchmarks runs what it names, and its smoke version fails on a broken ratio."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as entry
from benchmarks import streaming
from benchmarks.paired import paired, quartiles

ROOT = Path(__file__).resolve().parents[1]


def test_every_benchmark_is_registered() -> None:
    runnable = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py") if "def main()" in path.read_text()}
    assert set(entry.BENCHMARKS) == runnable


def test_list_says_what_each_measures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "list"])
    entry.main()
    assert len(capsys.readouterr().out.splitlines()) == len(entry.BENCHMARKS)


def test_a_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "streming"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2


def test_ratios_are_of_units_and_order_alternates() -> None:
    ran: list[str] = []
    found = paired(lambda: ran.append("slow"), lambda: ran.append("fast"), 4, (1.0, 1e9))
    assert found["ratio"] > 1e6
    assert ran == ["slow", "fast"] + ["slow", "fast", "fast", "slow"] * 2
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)


def test_a_ratio_far_from_its_bar_is_broken() -> None:
    good = {"train/2": {"ratio": 15.0}, "operators": {"operators": 2000, "bar": 2316}}
    assert streaming.broken(good) == []
    assert len(streaming.broken({"train/2": {"ratio": 1.1}, "operators": {"operators": 14085, "bar": 2316}})) == 2


@pytest.mark.slow
def test_a_step_of_twenty_sessions_waits_for_nothing_but_its_check() -> None:
    found = streaming.counted(argparse.Namespace(width=0.03))
    assert found["syncs"] <= 2
    assert found["operators"] <= 1.2 * found["bar"]


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert json.loads(out.read_text())["streaming"][0]["train/2"]["ratio"] > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "gpu --device cpu --width 0.03 --grid 31 --sessions 2 --units 4 --clips 2 --steps 2 --windows 4 --pairs 1",
        "processes --smoke",
    ],
)
def test_what_smoke_leaves_out_runs_at_its_smallest(command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *f"benchmarks.{command}".split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert float(found["ratio"] if "ratio" in found else found["windowed"]["ratio"]) > 0
