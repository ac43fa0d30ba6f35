"""The command line in this process, and the shared reference checkpoints where they are there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vctrain import cli, console

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs ``vctrain ARGUMENTS --json`` and returns the exit code and the one object."""
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*arguments: object) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as caught:
            cli.main([*map(str, arguments), "--json", "--quiet"])
        return int(caught.value.code or 0), json.loads(capsys.readouterr().out)

    yield run
    console.configure()


@pytest.fixture
def migrate(command: Callable[..., Any]) -> Callable[..., Any]:
    """Runs ``vctrain migrate-ckpt``."""
    return lambda *arguments: command("migrate-ckpt", *arguments)


@pytest.fixture(scope="session")
def legacy() -> Path:
    """The folder of reference checkpoints beside the project."""
    folder = Path(os.environ.get("VCTRAIN_SHARED", ROOT.parent / "shared")) / "fixtures" / "legacy"
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no reference checkpoints in {folder} (set VCTRAIN_SHARED)")
    return folder
