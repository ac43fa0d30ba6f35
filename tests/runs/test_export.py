"""An exported checkpoint is complete in itself, smaller, and gives the same twin."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vctrain import cli, console
from vctrain.errors import UsageError
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.export import export_checkpoint


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*arguments: object) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as caught:
            cli.main(["export", *map(str, arguments), "--json"])
        return int(caught.value.code or 0), json.loads(capsys.readouterr().out)

    yield run
    console.configure()


def test_a_run_is_exported_without_the_state_of_its_training(
    tiny_run, tmp_path: Path, export: Callable[..., Any]
) -> None:
    code, result = export(tiny_run.folder, "-o", tmp_path / "twin.pt")
    assert (code, result["command"]) == (0, "export")
    assert result["sessions"] == {"SimA_2024-01-01": 4, "SimB_2024-01-02": 4}
    raw = torch.load(tmp_path / "twin.pt", weights_only=True)
    assert set(raw) == {"state_dict", "vctrain"}
    assert result["bytes"] < (tiny_run.checkpoints / "best.ckpt").stat().st_size
    best, exported = read_checkpoint(tiny_run.folder), read_checkpoint(tmp_path / "twin.pt")
    assert exported.model == best.model
    assert exported.settings == best.settings
    assert exported.sessions == best.sessions
    assert not exported.resumable
    state = exported.build().state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in best.build().state_dict().items())
    assert exported.content["origin"]["step"] == best.step
    assert exported.content["val_bps_overall"] == best.content["val_bps_overall"]


def test_where_it_goes_by_default(tiny_run, tmp_path: Path) -> None:
    copy = Path(shutil.copy(tiny_run.checkpoints / "last.ckpt", tmp_path / "last.ckpt"))
    first = export_checkpoint(copy)
    assert first["output"] == str(tmp_path / "last.pt")
    again = export_checkpoint(tmp_path / "last.pt")
    assert again["output"] == str(tmp_path / "last-exported.pt")
    assert read_checkpoint(again["output"]).content["origin"]["file"] == "last.ckpt"


def test_nothing_is_replaced(tiny_run, tmp_path: Path, export: Callable[..., Any]) -> None:
    (tmp_path / "twin.pt").write_text("mine")
    code, result = export(tiny_run.folder, "-o", tmp_path / "twin.pt")
    assert (code, "exists" in result["error"]["message"]) == (2, True)
    assert (tmp_path / "twin.pt").read_text() == "mine"
    with pytest.raises(UsageError, match="no folder"):
        export_checkpoint(tiny_run.folder, tmp_path / "gone" / "twin.pt")


def test_a_checkpoint_that_cannot_be_built_is_not_exported(
    tiny_run, tmp_path: Path, export: Callable[..., Any]
) -> None:
    raw = torch.load(tiny_run.checkpoints / "best.ckpt", weights_only=True)
    raw["state_dict"].popitem()
    torch.save(raw, tmp_path / "broken.ckpt")
    code, result = export(tmp_path / "broken.ckpt")
    assert (code, "missing" in result["error"]["message"]) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.ckpt"]
