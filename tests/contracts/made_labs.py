"""A recording with every covariate that has a name, and its config: small, valid, and there to be spoilt."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from data.made_recordings import EYE_VELOCITY, covariates, write
from made_sessions import MODEL

from vctrain import cli, console

NAME = "Ada_2024-05-06"
CONFIG: dict[str, Any] = {
    "session": NAME,
    "lab": "yates",
    "types": ["gaborium"],
    "cids": [0, 2],
    "sampling": {"source_rate": 100, "target_rate": 50},
    "keys_lags": {"stim": [0, 1, 2, 3], "robs": 0, "behavior": 0},
    "transforms": {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}]}, **EYE_VELOCITY},
    "datafilters": {"dfs": {"ops": [{"valid_nlags": {"n_lags": 4}}, {"missing_pct": {"threshold": 45}}]}},
    "train_val_split": [0.5, 0.25, 0.25],
    "seed": 1002,
}


def content(seed: int = 0) -> dict[str, torch.Tensor]:
    """A dozen trials of 25 frames."""
    made = covariates(trials=(25,) * 12, gaps=[(40, 44)], seed=seed)
    frames = len(made["stim"])
    return made | {
        "missing_pct": torch.linspace(0, 40, frames)[:, None].repeat(1, 3),
        "rate_true": torch.full((frames, 3), 0.5),
        "psth_inds": torch.arange(frames) % 25,
        "roi": torch.zeros(frames, 2, 2),
        "dfs": torch.ones(frames, 1),
        "ori": torch.zeros(frames),
        "sf": torch.ones(frames),
        "stim_phase": torch.zeros(frames, 4, 5),
    }


class Lab:
    """A folder with the recordings of a session, written when asked for, and its config ``lab.yaml``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.session, self.path = folder, folder / NAME, folder / "lab.yaml"
        self.recordings: dict[str, dict[str, Any]] = {"gaborium": content()}
        self.metadata: dict[str, Any] = {"rate_hz": 100.0}
        self.config: dict[str, Any] = copy.deepcopy(CONFIG)

    @property
    def covariates(self) -> dict[str, Any]:
        """Those of the first recording."""
        return next(iter(self.recordings.values()))

    def dset(self, kind: str = "gaborium") -> Path:
        """The file of a recording."""
        return self.session / f"{kind}.dset"

    def write(self) -> Path:
        """Write recordings and config; the path of the config."""
        for kind, made in self.recordings.items():
            write(self.dset(kind), made, self.metadata)
        self.path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return self.path


def lab_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab in a folder of its own, beside the settings of a small twin, and an empty folder to work in."""
    (folder / "lab").mkdir()
    settings = {"data": {"batch_clips": 4, "clip_frames": 4}, "model": MODEL}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings))
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    monkeypatch.setenv("VCTRAIN_CACHE", str(folder / "cache"))
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS", "VCTRAIN_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    yield Lab(folder / "lab")
    console.configure()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything in a folder."""
    states = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}


def dry_run(lab: Lab, capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the one object on stdout, and stderr."""
    place = lab.folder.parent
    data = [] if "--data" in more else ["--data", str(lab.path)]
    before = listing(place)
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "--config", str(place / "tiny.yaml"), *data, "--dry-run", "--json", *more])
    out, err = capfd.readouterr()
    assert listing(place) == before
    assert out.count("\n") == 1
    return int(caught.value.code or 0), json.loads(out), err


def refused(lab: Lab, capfd: pytest.CaptureFixture[str], code: int, says: list[str], *more: str) -> None:
    """The run is refused in one line that `says` these words, with this exit code, and nothing is written."""
    ended, shown, err = dry_run(lab, capfd, *more)
    error = shown["error"]
    assert (ended, shown["ok"], error["code"]) == (code, False, code), error
    assert error["message"].isprintable()
    assert error["hint"].isprintable()
    assert error["hint"]
    assert [word for word in says if word not in error["message"]] == [], error
    assert "Traceback" not in err
    assert "Warning" not in err
