"""Is the command line quick, and does every way to fail end in one line, the right code, and one JSON object?"""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import types

import pytest

from vctrain import __version__, cli, console
from vctrain.errors import BY_CODE, VctrainError


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    console.configure()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vctrain", *arguments], capture_output=True, text=True, check=False)


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def one_object(out: str) -> dict[str, object]:
    assert out.count("\n") == 1
    content = json.loads(out)
    assert isinstance(content, dict)
    return content


def test_help_is_quick_and_imports_nothing_heavy():
    heavy = "('torch', 'lightning', 'pydantic', 'rich', 'yaml', 'numpy', 'vctrain.commands.train')"
    script = (
        "import sys, atexit\n"
        f"atexit.register(lambda: sys.stderr.write(repr([m for m in {heavy} if m in sys.modules])))\n"
        "from vctrain.cli import main\nmain(['--help'])\n"
    )
    best = 9.0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.stderr == "[]"
    for verb, (_, line) in cli.VERBS.items():
        assert verb in done.stdout
        assert line[:40] in done.stdout
    # Processor time of one thread: what it takes on an idle machine, whatever else runs on this one.
    assert best < 0.3


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_help_of_a_verb_has_examples_and_needs_no_torch(verb):
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(str('torch' in sys.modules)))\n"
        f"from vctrain.cli import main\nmain([{verb!r}, '--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "False"
    assert "Examples:\n" in done.stdout
    assert f"  vctrain {verb}" in done.stdout
    assert "\x1b" not in done.stdout


def test_version(capsys):
    assert end_of("--version") == 0
    assert capsys.readouterr().out == f"vctrain {__version__}\n"


def test_without_a_verb_there_is_help_and_a_usage_code(capsys):
    assert end_of() == 2
    assert "Usage: vctrain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "no verb 'trian'"),
        (["train", "--nosuch"], "--nosuch"),
        (["train", "--devices", "two"], "--devices"),
        (["train", "--devices", "0"], "--devices"),
        (["train", "--accelerator", "tpu"], "--accelerator"),
        (["train"], "no settings"),
        (["train", "--preset", "gaborum"], "no preset 'gaborum'"),
        (["train", "--config", "gone.yaml"], "gone.yaml"),
        (["train", "--preset", "gaborium", "--set", "optim.lrr=1"], "unknown key optim.lrr"),
        (["eval-bps"], "CKPT"),
        (["eval-bps", "x", "--split", "tst"], "--split"),
        (["simulate", "out", "--types", "gabor"], "--types"),
        (["simulate", "out", "--sessions", "0"], "--sessions"),
        (["presets", "lst"], "lst"),
        (["presets", "show"], "NAME"),
        (["--nosuch"], "--nosuch"),
    ],
)
def test_bad_usage_is_one_line_code_2_and_one_object(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert end_of(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert says in error
    assert hint.startswith("hint: ")
    assert end_of(*arguments, "--json") == 2
    out, again = capsys.readouterr()
    content = one_object(out)
    assert again == err or "--json" in again
    assert content["ok"] is False
    assert content["command"] == cli.command_of(arguments)
    assert set(content["error"]) == {"code", "message", "hint"}
    assert content["error"]["code"] == 2
    assert list(tmp_path.iterdir()) == []


def verb_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Install a verb ``fail`` that raises ``error``."""

    def fail(json: bool = False, debug: bool = False) -> None:
        """Fail."""
        raise error

    module = types.ModuleType("failing")
    module.fail = fail
    monkeypatch.setitem(sys.modules, "failing", module)
    monkeypatch.setattr(cli, "VERBS", {**cli.VERBS, "fail": ("failing:fail", "Fail.")})


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_each_kind_of_error_ends_with_its_code(code, capsys, monkeypatch):
    verb_that(monkeypatch, BY_CODE[code]("it\nbroke", hint="mend it"))
    assert end_of("fail", "--json") == code
    out, err = capsys.readouterr()
    assert err == f"{'' if code == 75 else 'error: '}it broke\nhint: mend it\n"
    expected = {"code": code, "message": "it broke", "hint": "mend it"}
    assert one_object(out) == {"ok": False, "command": "fail", "error": expected}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 5),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"), 5),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2.00 GiB"), 5),
        (OSError(errno.ENOSPC, "No space left on device", "/x/last.ckpt"), 5),
    ],
)
def test_interruptions_and_the_environment(error, code, capsys, monkeypatch):
    verb_that(monkeypatch, error)
    assert end_of("fail", "--json") == code
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert one_object(out)["error"]["code"] == code


def test_an_interruption_that_a_library_turned_into_an_exit_is_still_one(capsys, monkeypatch):
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)
    except SystemExit as leaving:
        verb_that(monkeypatch, leaving)
    assert end_of("fail", "--json") == 130
    assert one_object(capsys.readouterr().out)["error"]["code"] == 130


def test_an_exit_of_its_own_keeps_its_code(monkeypatch):
    verb_that(monkeypatch, SystemExit(7))
    assert end_of("fail") == 7


def test_debug_shows_the_traceback(capsys, monkeypatch):
    verb_that(monkeypatch, VctrainError("broke"))
    assert end_of("fail", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


BUG = """
import sys, types
from vctrain import cli
module = types.ModuleType("failing")
def fail(json: bool = False, debug: bool = False) -> None:
    raise ZeroDivisionError("a bug")
module.fail = fail
sys.modules["failing"] = module
cli.VERBS = {"fail": ("failing:fail", "Fail.")}
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_is_one_line_unless_a_traceback_is_wanted(debug):
    arguments = ["fail", "--json"] + ["--debug"] * debug
    done = subprocess.run([sys.executable, "-c", BUG, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert one_object(done.stdout)["error"]["code"] == 1
    assert "ZeroDivisionError: a bug" in done.stderr
    assert ("Traceback" in done.stderr) is debug
    assert "--debug" in done.stderr


def test_a_closed_pipe_is_quiet():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vctrain", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == cli.BROKEN_PIPE


def test_the_package_runs_as_a_module():
    assert run("--version").stdout == f"vctrain {__version__}\n"


LATE = """
import os, signal, sys
from vctrain import cli

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGUSR1):
        kill(me, number)

late = Late()  # goes when Python takes modules apart, after it has put back what signals do by themselves
cli.main(sys.argv[1:])
"""


@pytest.mark.parametrize(("arguments", "code"), [(["presets", "list"], 0), (["presets", "show", "no-such"], 2)])
def test_a_request_to_stop_that_comes_after_the_end_changes_no_exit_code(arguments: list[str], code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", LATE, *arguments], capture_output=True, check=False)
    assert ended.returncode == code
