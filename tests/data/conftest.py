"""Sessions written for a test, and the shared reference data where they are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from made_recordings import write, write_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def session_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes one session (type: covariates, keywords for its YAML) and returns the path of its YAML."""

    def make(recordings: Mapping[str, Mapping[str, Any]], cids: Sequence[int] = (0, 2), **more: Any) -> Path:
        name = more.pop("name", "Ada_2024-05-06")
        for kind, content in recordings.items():
            write(tmp_path / name / f"{kind}.dset", content)
        return write_config(tmp_path, name, list(recordings), cids, **more)

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the project."""
    folder = Path(os.environ.get("VCTRAIN_SHARED", ROOT.parent / "shared"))
    if not (folder / "fixtures" / "dsets").is_dir():
        pytest.skip(f"no reference data in {folder} (set VCTRAIN_SHARED)")
    return folder
