"""Does `analyze` show, write and refuse what it says it does, through the command line?"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vctrain import cli, console

SESSIONS = ("SimA_2024-01-01", "SimB_2024-01-02")


@pytest.fixture(autouse=True)
def output(monkeypatch):
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    console.configure()


def end_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["analyze", *map(str, arguments)])
    return int(caught.value.code or 0)


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one object on stdout."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


QUICK = {
    "sta": ["--lags", "6"],
    "tuning": ["--in-silico", "--directions", "4", "--frequencies", "2", "--motion", "flashed"],
    "mei": ["--steps", "2", "--starts", "1", "--references", "5"],
    "ablate-behavior": ["--replicates", "50", "--shuffles", "1"],
}


@pytest.mark.parametrize("verb", QUICK)
def test_a_row_a_unit_arrays_and_pictures_keyed_by_cid(verb, tiny_run, tmp_path, capsys) -> None:
    out = tmp_path / "results"
    assert end_of(verb, tiny_run.folder, *QUICK[verb], "--cids", "1,3", "--out", out, "--json") == 0
    shown = said(capsys)
    assert (shown["ok"], shown["command"]) == (True, f"analyze {verb}")
    assert list(shown["sessions"]) == list(SESSIONS)
    assert len(shown["checkpoint_sha256"]) == 64
    names = [f"{verb}.npz", f"{verb}.csv", *(f"{verb}-{session}.png" for session in SESSIONS)]
    assert [Path(path).name for path in shown["files"]] == names
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    with (out / f"{verb}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["session"], row["cid"]) for row in rows] == [(s, cid) for s in SESSIONS for cid in ("1", "3")]
    for row in rows:
        unit = shown["sessions"][row["session"]]["units"][row["cid"]]
        assert list(row)[2:] == list(unit)
        written = [row[key] for key in unit]
        assert written == ["" if value is None else str(value) for value in unit.values()]
    arrays = np.load(out / f"{verb}.npz")
    for session in SESSIONS:
        assert arrays[f"{session}/cids"].tolist() == [1, 3]
        own = [name for name in arrays.files if name.startswith(session)]
        assert len(own) > 2
    for path in out.glob("*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("verb", QUICK)
def test_a_table_has_a_row_a_unit_and_a_line_about_all(verb, tiny_run, capsys) -> None:
    assert end_of(verb, tiny_run.folder, *QUICK[verb], "--session", SESSIONS[1]) == 0
    out, err = capsys.readouterr()
    assert SESSIONS[0] not in out + err
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[2:6]] == [[SESSIONS[1], str(cid)] for cid in range(4)]
    assert lines[1].split()[:2] == ["session", "cid"]
    assert len(lines) == 7


def test_what_was_written_is_never_replaced(tiny_run, tmp_path, capsys, monkeypatch) -> None:
    """And nothing is computed before that is known."""
    monkeypatch.setattr("vctrain.evaluation.analyses.sta.sta", lambda *_, **__: pytest.fail("computed"))
    (tmp_path / f"sta-{SESSIONS[0]}.png").write_text("mine")
    assert end_of("sta", tiny_run.folder, "--out", tmp_path) == 2
    assert "exists; nothing was changed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [f"sta-{SESSIONS[0]}.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sta", "RUN", "--cids", "1,77"], 2, "--cids 77"),
        (["sta", "RUN", "--cids", "one"], 2, "--cids one"),
        (["sta", "RUN", "--session", "SimA"], 2, "--session SimA"),
        (["sta", "RUN", "--session", ","], 2, "names no session"),
        (["sta", "RUN", "--types", "checkerboard"], 3, "checkerboard"),
        (["sta", "no-run"], 3, "no-run"),
        (["tuning", "RUN"], 3, "gratings"),
        (["tuning", "RUN", "--types", "gaborium"], 3, "ori and sf"),
        (["tuning", "RUN", "--directions", "8"], 2, "--directions"),
        (["tuning", "RUN", "--in-silico", "--lags", "8"], 2, "--lags"),
        (["tuning", "RUN", "--in-silico", "--contrast", "2"], 2, "--contrast"),
        (["mei", "RUN", "--contrast", "0.7"], 2, "--contrast"),
        (["mei", "RUN", "--steps", "0"], 2, "--steps"),
        (["ablate-behavior", "RUN", "--shuffles", "0"], 2, "--shuffles"),
    ],
)
def test_what_cannot_be_analysed_is_refused_in_one_line(arguments, code, message, tiny_run, capsys) -> None:
    given = [str(tiny_run.folder) if word == "RUN" else word for word in arguments]
    assert end_of(*given, "--json") == code
    found = said(capsys)
    assert (found["ok"], found["command"]) == (False, f"analyze {arguments[0]}")
    assert found["error"]["code"] == code
    assert message in found["error"]["message"]
    assert found["error"]["hint"]


def test_the_verbs_below_it_are_listed(capsys) -> None:
    assert end_of("--help") == 0
    listed = capsys.readouterr().out
    assert all(verb in listed for verb in QUICK)
