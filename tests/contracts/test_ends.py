"""How a run that is told to end ends: with the code that scripts wait for, one JSON object, and its state written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONG = ("trainer.max_epochs=200", "trainer.steps_per_epoch=50", "data.batch_clips=4", "data.clip_frames=32",
        "init.map_minutes=0.1", "trainer.precision=32-true", "model=twin_small")  # fmt: skip


@pytest.mark.parametrize(
    ("number", "devices"),
    [(signal.SIGTERM, 1), (signal.SIGINT, 2), pytest.param(signal.SIGUSR1, 2, marks=pytest.mark.slow)],
)
def test_a_signal_ends_a_run_in_training_with_75(
    tiny_data: Path, tmp_path: Path, number: signal.Signals, devices: int
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "vctrain", "train", "--preset", "gaborium", "--data", str(tiny_data), "--json"]
    command += ["--run-dir", str(run), "--devices", str(devices), "--accelerator", "cpu", "--quiet"]
    command += [word for text in LONG for word in ("--set", text)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        until = time.monotonic() + 120
        while not (run / "metrics.csv").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    said = json.loads(out)
    assert said["ok"] is False
    assert said["error"]["code"] == 75
    assert said["run"] == str(run)
    assert f"vctrain resume {run}" in said["error"]["hint"]
    assert json.loads((run / "run.json").read_text())["state"] == "preempted"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert "Traceback" not in err


def test_a_checkpoint_is_evaluated_from_any_folder(tiny_data, tmp_path, monkeypatch) -> None:
    """Recordings are remembered where they are, not as they were typed."""
    from made_sessions import settings

    from vctrain.evaluation.evaluate import evaluate
    from vctrain.training import fit

    monkeypatch.chdir(tiny_data.parent)
    chosen = settings(tiny_data.name, {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 1})
    result = fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    monkeypatch.chdir(tmp_path)
    assert evaluate("run")["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=1e-12)
