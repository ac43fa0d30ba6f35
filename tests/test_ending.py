"""A signal is noted and raised, after the import it came into; one whose exception was lost is raised again."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vctrain import ending
from vctrain.errors import Terminated


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    alarm = signal.getsignal(signal.SIGALRM)
    ending.forget()
    yield
    ending.forget()
    signal.signal(signal.SIGALRM, alarm)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGUSR1, Terminated)],
)
def test_the_first_signal_counts_until_it_is_forgotten(number: signal.Signals, raised: type[BaseException]) -> None:
    ending.check_not_told()
    for told in (number, signal.SIGTERM, signal.SIGINT):
        with pytest.raises(KeyboardInterrupt) as caught:
            ending.tell(told)
        assert caught.type is raised
    with pytest.raises(KeyboardInterrupt) as caught:
        ending.check_not_told()
    assert caught.type is raised
    assert ending.forget() == number
    assert ending.forget() is None
    ending.check_not_told()


def test_what_comes_into_an_import_waits_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "import signal, sys, time\nfrom vctrain import ending\nending.tell(signal.SIGINT, sys._getframe())\n"
    (tmp_path / "told_while_imported.py").write_text(lines + "time.sleep(0.1)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def imported() -> None:
        importlib.import_module("told_while_imported")
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        imported()
    assert sys.modules.pop("told_while_imported").whole


def test_what_is_forgotten_in_an_import_is_not_raised_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "import signal, sys\nfrom vctrain import ending\nending.tell(signal.SIGINT, sys._getframe())\n"
    (tmp_path / "told_and_forgotten.py").write_text(lines + "ending.forget()\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("told_and_forgotten")
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    time.sleep(0.1)
    sys.modules.pop("told_and_forgotten")


def test_what_was_raised_does_not_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while locks are given back and states written down."""
    lines = "import signal, sys\nfrom vctrain import ending\nending.tell(signal.SIGTERM, sys._getframe())\n"
    (tmp_path / "told_and_asked.py").write_text(lines)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("told_and_asked")
    sys.modules.pop("told_and_asked")
    with pytest.raises(Terminated):
        ending.check_not_told()
    time.sleep(0.1)


def test_an_import_that_hangs_is_left_at_the_third_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "import signal, sys\nfrom vctrain import ending\nfor _ in range(3):\n"
    (tmp_path / "told_thrice.py").write_text(lines + "    ending.tell(signal.SIGINT, sys._getframe())\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("told_thrice")


def test_a_signal_in_the_last_import_of_a_command_does_not_kill_it_afterwards(tmp_path: Path) -> None:
    (tmp_path / "last_import.py").write_text(
        "import signal, sys\nfrom vctrain import ending\nending.tell(signal.SIGTERM, sys._getframe())\n"
    )
    script = (
        "import atexit, signal, typer\n"
        "from vctrain import cli\n"
        "class Command:\n"
        "    def main(self, **options):\n"
        "        import last_import\n"
        "        return 0\n"
        "typer.main.get_command = lambda app: Command()\n"
        # Python puts back what an alarm does by itself before it is gone: it kills
        "atexit.register(lambda: print(signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGALRM)))\n"
        "cli.main(['status'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"0.0 {signal.SIG_IGN}\n"), done


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGUSR2, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("importing", [False, True])
def test_a_command_that_is_told_ends_with_what_it_was_told(
    number: signal.Signals, code: int, importing: bool, tmp_path: Path
) -> None:
    """Typer ends a command that is interrupted with a code of its own."""
    kill = f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.05)\n"
    (tmp_path / "told_inside.py").write_text(kill)
    told = "import told_inside" if importing else "exec(open('told_inside.py').read())"
    script = (
        "import time, typer\n"
        "from vctrain import cli\n"
        "cli.app = typer.Typer()\n"
        "@cli.app.command()\n"
        "def wait(word: str) -> None:\n"
        f"    {told}\n"
        "    time.sleep(20)\n"
        "cli.main(['now'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done
