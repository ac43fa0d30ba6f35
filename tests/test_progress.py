"""Away from a terminal a training is a line a minute and one an epoch; test_console.py looks at a terminal."""

from __future__ import annotations

from vctrain.progress import TrainingProgress


def test_progress_is_a_line_a_minute_and_a_line_an_epoch(capsys):
    now = 0.0
    progress = TrainingProgress(clock=lambda: now)
    progress.start(600, "training")
    for step in range(1, 301):
        now += 0.5
        progress.step(step, {"loss": "0.3"})
    progress.line("epoch 1")
    for step in range(301, 600):
        now += 0.15
        progress.step(step, {})
    progress.stop()
    progress.stop()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "training 120/600  loss 0.3  2.0 steps/s  0:04:00 left",
        "training 240/600  loss 0.3  2.0 steps/s  0:03:00 left",
        "epoch 1",
    ]
