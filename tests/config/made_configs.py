"""Dataset configs to write in a test; their recordings are empty files, which configs never open."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

COMPLETE: dict[str, Any] = {
    "session": "Ada_2024-05-06",
    "lab": "yates",
    "types": ["gaborium"],
    "cids": [3, 1],
    "sampling": {"source_rate": 240, "target_rate": 120},
    "keys_lags": {"robs": 0, "stim": [0, 1, 2], "dfs": 0},
    "transforms": {
        "stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}], "expose_as": "stim"},
        "eye_vel": {
            "source": "eyepos",
            "ops": [
                {"diff": {"axis": 0}},
                {"maxnorm": {}},
                {"symlog": {}},
                {"mul": 2.0},
                {"temporal_basis": {"num_cosine_funcs": 10, "history_bins": 50, "peak_range_ms": [30, 200]}},
                {"splitrelu": {"split_dim": 1, "trainable_gain": False}},
                {"smooth": {"type": "gaussian", "params": {"sigma": 2.0}}},
                {"cast": "float32"},
            ],
            "expose_as": "behavior",
            "concatenate": True,
        },
        "eye_pos": {"source": "eyepos", "ops": [], "expose_as": "behavior", "concatenate": True},
    },
    "datafilters": {"dfs": {"ops": [{"valid_nlags": {"n_lags": 13}}], "expose_as": "dfs"}},
    "train_val_split": 0.75,
    "seed": 7,
    "visual": [1, 2],
    "snr": [0.1],
}


def recording(folder: Path, session: str, kind: str = "gaborium", layout: str = "{type}.dset") -> Path:
    """A file where a recording would be; configs never open it."""
    path = folder / session / layout.format(type=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def config(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def parent(folder: Path, sessions: list[str], **more: Any) -> Path:
    """A parent YAML with children that name their units only."""
    shared = {key: value for key, value in COMPLETE.items() if key not in ("session", "cids")}
    for number, name in enumerate(sessions):
        config(folder / "children" / f"{name}.yaml", {"cids": list(range(number + 1))})
        recording(folder, name)
    return config(folder / "parent.yaml", {**shared, "session_dir": "./children", "sessions": sessions, **more})


def changed(path: list[str | int], value: Any) -> dict[str, Any]:
    """COMPLETE with one more or other value at `path`."""
    content = copy.deepcopy(COMPLETE)
    place: Any = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content
