"""Does everything the tool says go where it belongs, plain in a pipe, whole as JSON, silent off rank 0?"""

from __future__ import annotations

import io
import json
import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain import console
from vctrain.progress import TrainingProgress


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for name in ("RANK", "SLURM_NTASKS", "SLURM_PROCID", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(console.SETTINGS, "")
    console.configure()
    yield
    console.configure()


def test_results_on_stdout_and_the_rest_on_stderr(capsys):
    console.note("[bold]a note[/]")
    console.warn("careful")
    console.table("scores", ["session", "bps"], [["a", "1.5"], ["longer", "-"]])
    out, err = capsys.readouterr()
    assert err == "[bold]a note[/]\nwarning: careful\n"
    assert out == "scores\nsession  bps\na        1.5\nlonger     -\n"


def test_json_leaves_stdout_to_one_object(capsys):
    console.configure(json=True)
    console.table("", ["a"], [["b"]])
    console.result("text")
    console.emit_json({"bps": math.inf, "units": {3: None}, "run": Path("r"), "pair": (1, 2)})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"bps": None, "units": {"3": None}, "run": "r", "pair": [1, 2]}
    assert err == "a\nb\ntext\n"


def test_quiet_drops_notes_and_progress_but_not_warnings(capsys):
    console.configure(quiet=True)
    console.note("a note")
    console.warn("careful")
    progress = TrainingProgress()
    progress.start(3, "training")
    progress.line("epoch 1")
    console.result("result")
    assert capsys.readouterr() == ("result\n", "warning: careful\n")


@pytest.mark.parametrize("variables", [{"RANK": "1"}, {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}])
def test_other_ranks_are_silent_except_for_what_ends_them(capsys, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    console.note("a")
    console.warn("b")
    console.table("c", ["d"], [["e"]])
    console.emit_json({"f": 1})
    console.result("g")
    console.error("broken", "mend it")
    assert capsys.readouterr() == ("", "rank 1: error: broken\nrank 1: hint: mend it\n")


def test_errors_are_one_line_each(capsys):
    console.error("two\n  lines", "and\ta hint")
    assert capsys.readouterr().err == "error: two lines\nhint: and a hint\n"


def test_the_log_keeps_what_was_said_also_in_silence(tmp_path, capsys):
    console.configure(quiet=True)
    console.log_to(tmp_path / "run.log")
    console.note("a note")
    console.error("broken")
    assert [line.split(" ", 1)[1] for line in (tmp_path / "run.log").read_text().splitlines()] == [
        "note: a note",
        "error: broken",
    ]
    capsys.readouterr()


def test_ranks_that_a_command_starts_say_as_much_as_it_does():
    console.configure(quiet=True, json=True)
    asked = "from vctrain import console; console.note('no'); print(console.json_mode(), console.debug_mode())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True False\n", "")


def test_a_stream_in_an_old_encoding_does_not_fail(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    console.result("µ")
    assert raw.getvalue() == b"\\xb5\n"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_JSON)
def test_any_result_is_strict_json_on_one_line(value):
    text = console.to_json({"value": value})
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(text, parse_constant=refuse)


SHOW = """
from vctrain import console
from vctrain.progress import TrainingProgress
console.note("a [red]note[/red]")
console.warn("careful")
bar = TrainingProgress()
bar.start(10, "training")
bar.curves({"val_bps_overall": [0.0, 0.5, 1.0], "Ada": [0.25]})
bar.step(5, {"loss": "0.25"})
bar.line("epoch 1 done")
console.note("meanwhile")
bar.stop()
console.table("scores", ["session", "bps"], [["[b]a[/b]", "1.5"]])
"""


def in_terminal(script: str, **variables: str) -> str:
    """What `script` writes when stdout and stderr are a terminal."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=follower, stderr=follower, stdin=follower, env=environment
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            read = os.read(leader, 65536)
        except OSError:
            break
        if not read:
            break
        seen += read
    os.close(leader)
    assert process.wait() == 0
    return seen.decode()


def test_a_terminal_gets_a_bar_and_colours_and_user_text_as_it_is():
    seen = in_terminal(SHOW)
    assert "\x1b[" in seen
    for text in ("a [red]note[/red]", "careful", "epoch 1 done", "meanwhile", "[b]a[/b]", "5/10", "loss 0.25"):
        assert text in seen
    assert "val_bps_overall  ▁▅█  1.0000" in seen
    assert "Ada              ─  0.2500" in seen
    # The cursor that the bar hid is back.
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_codes_where_none_are_wanted(variables):
    seen = in_terminal(SHOW, **variables)
    assert "\x1b" not in seen
    assert "epoch 1 done" in seen
