"""A signal is noted and raised, after the import it came into; one whose exception was lost is raised again."""

from __future__ import annotations

import importlib
import signal
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
    time.sleep(0.1)
    sys.modules.pop("told_and_forgotten")
