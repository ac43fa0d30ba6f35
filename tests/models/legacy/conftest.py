"""The folder of reference data beside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def legacy_fixtures() -> Path:
    folder = Path(os.environ.get("VCTRAIN_SHARED", ROOT.parent / "shared")) / "fixtures" / "legacy"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder} (set VCTRAIN_SHARED)")
    return folder
