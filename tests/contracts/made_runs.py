"""Runs that tests stop and resume, in this process or by command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_sessions import MODEL, SETTINGS

from vctrain.training import fit
from vctrain.training.callbacks.boundaries import Boundaries

LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID", "VCTRAIN_STOP_AT")


def stopping(monkeypatch: pytest.MonkeyPatch, step: int | None, chunk: int | None = None) -> None:
    """Runs of this process are asked to stop after optimizer step ``step``, or in the validation there after ``chunk``
    chunks; None lets them go on."""

    class Asked(Boundaries):
        def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
            if trainer.global_step == step and chunk is None:
                self.request.ask("a test")
            super().on_train_batch_end(trainer, *arguments)

        def on_validation_batch_end(self, trainer: Any, *arguments: Any) -> None:
            if trainer.global_step == step and arguments[3] == chunk:
                self.request.ask("a test")
            super().on_validation_batch_end(trainer, *arguments)

    monkeypatch.setattr(fit, "Boundaries", Asked)


def config_file(path: Path, changes: Mapping[str, object] | None = None) -> Path:
    """The settings of the small twin, with ``changes`` by dotted path, as a YAML file."""
    content: dict[str, Any] = {}
    for dotted, value in {"model": MODEL, **SETTINGS, **(changes or {})}.items():
        *sections, key = dotted.split(".")
        inner = content
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
    path.write_text(yaml.safe_dump(content))
    return path


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a command that nobody launched; sums are added up in one order."""
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    return {**kept, "OMP_NUM_THREADS": "1", **(more or {})}


def vctrain(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """``vctrain ARGUMENTS`` in a process of its own."""
    environ = environment(options.pop("more", None))
    command = [*options.pop("under", ()), sys.executable, "-m", "vctrain", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ, **options)


def finish(process: subprocess.Popen[str], code: int, seconds: float = 180) -> tuple[str, str]:
    """What the command said; it ends with ``code``."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == code, f"ended with {process.returncode}, not {code}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return out, err


def until(process: subprocess.Popen[str], happened: Callable[[], bool], seconds: float = 180) -> None:
    """Wait until something ``happened`` while the command runs."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def state(run: Path) -> str:
    """As run.json says."""
    return str(json.loads((run / "run.json").read_text())["state"]) if (run / "run.json").exists() else ""


def last_step(run: Path) -> int:
    """The optimizer step of last.ckpt; 0 without one."""
    path = run / "checkpoints" / "last.ckpt"
    return int(torch.load(path, weights_only=True)["global_step"]) if path.exists() else 0


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    if not (run / "events.jsonl").exists():
        return []
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def steps_of(run: Path) -> Sequence[str]:
    """The first column of metrics.csv."""
    return [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
