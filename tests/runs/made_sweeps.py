"""A file that describes a sweep of short runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from made_sessions import MODEL, SETTINGS


def grid_file(folder: Path, recordings: Path, **changes: Any) -> Path:
    """``grid.yaml`` in ``folder``: the small twin with two learning rates; ``changes`` replace its keys."""
    content: dict[str, Any] = {
        "config": "small.yaml",
        "data": str(recordings),
        "set": {**SETTINGS, "trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "optim.warmup_steps": 1},
        "grid": {"optim.weight_decay": [0.0, 1e-4]},
        **changes,
    }
    (folder / "small.yaml").write_text(yaml.safe_dump({"model": MODEL}))
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def without(settings: Mapping[str, Any], *paths: str) -> dict[str, Any]:
    """``settings`` without some paths."""
    return {path: value for path, value in settings.items() if path not in paths}
