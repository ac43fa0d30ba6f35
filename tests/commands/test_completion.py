"""A shell that completes is offered presets, runs and settings, and torch is not imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vctrain import presets
from vctrain.commands import completion


def offered(words: str, folder: Path) -> list[str]:
    """What bash would be given after ``words``, the last of which is not finished."""
    typed = words.split(" ")
    asked = {"_VCTRAIN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1)}
    script = (
        "import sys; from vctrain import cli\ntry: cli.main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    command, environment = [sys.executable, "-c", script], {**os.environ, **asked}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("False\n"), done.stderr
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("runs/gaborium-a1b2", "runs/gaborium-c3d4", "runs/other"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/gaborium-a1b2", "runs/gaborium-c3d4"):
        (tmp_path / name / "run.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vctrain st", ["status"]),
        ("vctrain train --preset ga", ["gaborium"]),
        ("vctrain train --set optim.weight", ["optim.weight_decay="]),
        ("vctrain resume ", ["runs/gaborium-a1b2", "runs/gaborium-c3d4"]),
        ("vctrain eval-bps runs/gaborium-c", ["runs/gaborium-c3d4"]),
        ("vctrain analyze sta runs/gab", ["runs/gaborium-a1b2", "runs/gaborium-c3d4"]),
        ("vctrain doctor gab", ["gaborium"]),
    ],
)
def test_a_shell_is_offered(words: str, expected: list[str], folder: Path) -> None:
    assert offered(words, folder)[: len(expected)] == expected


def test_where_there_is_no_run_files_are_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "twin.pt").touch()
    (folder / "twins").mkdir()
    assert completion.runs("tw") == ["twin.pt", "twins/"]


def test_models_and_settings() -> None:
    assert completion.settings("model=twin_s") == ["model=twin_small"]
    assert "trainer.max_epochs=" in completion.settings("trainer.")
    assert completion.settings("optim.lr=1") == []
    assert completion.presets("") == list(presets.names())
