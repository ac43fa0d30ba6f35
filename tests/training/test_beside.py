"""A process beside the training never ends it: not by failing, not by hanging, not by never having been started."""

from __future__ import annotations

import errno
import subprocess
import time
from pathlib import Path

import pytest

from vctrain.config.schema import LoggingConfig
from vctrain.runs.pictures import is_due, let_wait, waiting
from vctrain.training import beside
from vctrain.training.mirrors import Mirrors

HANGING = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that processes find."""
    (tmp_path / "modules").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=":")
    return tmp_path / "modules"


def test_its_last_words_become_one_warning(modules: Path, tmp_path: Path, capsys) -> None:
    (modules / "failing.py").write_text("import sys\nsys.stderr.write('one\\ntwo\\n')\nsys.exit(3)\n")
    started = beside.start(tmp_path, "mirror", "failing", [], "all is well")
    assert started is not None
    assert started.wait(time.monotonic() + 60, "late")
    assert started.failed
    assert capsys.readouterr().err.count("mirror: two; all is well") == 1
    assert (tmp_path / "mirror.log").read_text() == "one\ntwo\n"


def test_one_that_hangs_is_ended_when_patience_is(modules: Path, tmp_path: Path, capsys) -> None:
    (modules / "hanging.py").write_text(HANGING)
    started = beside.start(tmp_path, "mirror", "hanging", [], "all is well")
    assert started is not None
    started.end()
    assert not started.wait(time.monotonic() + 0.5, "it took too long")
    assert started.process.wait(10) < 0
    assert not started.failed
    said = capsys.readouterr().err
    assert "mirror: it took too long" in said
    assert "all is well" not in said


def test_one_that_cannot_be_started_is_a_warning(tmp_path: Path, monkeypatch, capsys) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none_left)
    assert beside.start(tmp_path, "pictures", "any", [], "all is well") is None
    Mirrors(tmp_path, LoggingConfig(wandb="offline")).close()
    said = capsys.readouterr().err
    assert "pictures: Resource temporarily unavailable; all is well" in said
    assert "wandb-offline: Resource temporarily unavailable; the run does not need it" in said


def test_what_waits_outlives_the_checkpoint_it_is_another_name_of(tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.ckpt"
    for step in (20, 3):
        checkpoint.write_bytes(b"%d" % step)
        let_wait(tmp_path, step, checkpoint)
        # asked for again: still once
        let_wait(tmp_path, step, checkpoint)
        checkpoint.unlink()
    assert [(step, path.read_bytes()) for step, path in waiting(tmp_path)] == [(3, b"3"), (20, b"20")]
    assert len(list((tmp_path / "plots").iterdir())) == 2
    assert not any(is_due(epoch, 0) for epoch in range(100))
