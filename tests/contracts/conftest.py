"""A small laboratory to spoil, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from made_labs import Lab
from made_sessions import MODEL

from vctrain import console


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    folder = tmp_path / "lab"
    folder.mkdir()
    settings = {"data": {"batch_clips": 4, "clip_frames": 4}, "model": MODEL}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "VCTRAIN_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    yield Lab(folder)
    console.configure()
