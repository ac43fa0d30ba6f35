"""A run is drawn every few epochs, and neither drawing nor what fails there reaches its digits or its end."""

from __future__ import annotations

import errno
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import LAUNCHER, events, stopping
from made_sessions import settings
from PIL import Image

from benchmarks.same_run import differing
from vctrain.errors import PreemptedError
from vctrain.runs.events import read_events, that_hold
from vctrain.runs.pictures import let_wait, waiting
from vctrain.training import beside
from vctrain.training.callbacks import pictures
from vctrain.training.fit import train
from vctrain.training.resuming import resume

EVERY = {"logging.plots_every": 1, "checkpoint.keep_best": 3}
NAMES = ["bps", "temporal", "spatial", "readouts"]
FOLLOW = [sys.executable, "-m", "vctrain.evaluation.pictures.follow"]


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher, no service."""
    for name in (*LAUNCHER, "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def drawn_run(tiny_data: Path, run: Path, **more: object) -> dict[str, Any]:
    return train(settings(tiny_data, {**EVERY, **more}), run_dir=run, provenance={}, argv=["vctrain"])


def steps_drawn(run: Path) -> list[int]:
    return [event["step"] for event in that_hold(read_events(run)[0]) if event["event"] == "pictures"]


def files_of(*steps: int) -> list[str]:
    return sorted(f"step={step:06d}-{name}.png" for step in steps for name in NAMES)


def in_plots(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "plots").iterdir())


@pytest.fixture(scope="module")
def drawn(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with pictures of each of its three epochs; tests copy it."""
    run = tmp_path_factory.mktemp("drawn") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in LAUNCHER:
            patch.delenv(name, raising=False)
        drawn_run(tiny_data, run)
    return run


def test_every_epoch_asked_for_has_its_pictures_and_an_event_that_names_them(drawn: Path) -> None:
    assert steps_drawn(drawn) == [6, 12, 18]
    assert in_plots(drawn) == files_of(6, 12, 18)
    for number, event in enumerate(events(drawn, "pictures")):
        assert event["epoch"] == number
        assert list(event["files"]) == NAMES
        assert [(drawn / file).is_file() for file in event["files"].values()] == [True] * 4
    for path in (drawn / "plots").iterdir():
        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"), float)
        assert pixels.std() > 5, path
        assert min(pixels.shape) > 150, path
    # each is of the weights of its step
    assert len({(drawn / "plots" / f"step={step:06d}-temporal.png").read_bytes() for step in (6, 12, 18)}) == 3


def test_the_digits_are_those_of_a_run_without_pictures(drawn: Path, tiny_data: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    drawn_run(tiny_data, bare, **{"logging.plots_every": 0})
    assert not (bare / "plots").exists()
    assert not (bare / "pictures.log").exists()
    assert differing(bare, drawn) == [
        f"{name}.ckpt: /vctrain/settings/logging/plots_every" for name in ("last", "best")
    ]


def test_only_every_so_many_epochs(tiny_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    drawn_run(tiny_data, run, **{"logging.plots_every": 2})
    assert steps_drawn(run) == [12]
    assert in_plots(run) == files_of(12)


def as_far_as_the_first_epoch(drawn: Path, run: Path) -> None:
    """The run ``drawn`` as if it had been killed, and all its checkpoints but that of the first epoch were damaged."""
    shutil.copytree(drawn, run)
    for path in (run / "checkpoints").iterdir():
        if not path.name.startswith("epoch=00"):
            path.unlink()
    told = json.loads((run / "run.json").read_text()) | {"state": "running"}
    (run / "run.json").write_text(json.dumps(told))


def test_steps_that_are_taken_again_have_their_pictures_once(drawn: Path, tiny_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    as_far_as_the_first_epoch(drawn, run)
    before = {path.name: path.read_bytes() for path in (run / "plots").iterdir()}
    resume(run, settings(tiny_data, EVERY), {})
    assert [event["step"] for event in events(run, "pictures")] == [6, 12, 18, 12, 18]
    assert steps_drawn(run) == [6, 12, 18]
    assert {path.name: path.read_bytes() for path in (run / "plots").iterdir()} == before


def test_pictures_of_steps_that_no_longer_count_are_gone(drawn: Path, tiny_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    as_far_as_the_first_epoch(drawn, run)
    let_wait(run, 18, run / "run.json")
    resume(run, settings(tiny_data, {**EVERY, "logging.plots_every": 0}), {})
    assert steps_drawn(run) == [6]
    assert in_plots(run) == files_of(6)


def test_what_was_not_drawn_when_a_run_made_room_is_drawn_when_it_goes_on(
    drawn: Path, tiny_data: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    run = tmp_path / "run"
    stopping(monkeypatch, 8)
    monkeypatch.setattr(beside, "HURRIED", 0.0)
    with pytest.raises(PreemptedError):
        drawn_run(tiny_data, run)
    assert [step for step, _ in waiting(run)] == [6]
    assert f"vctrain resume {run} draws the rest" in capsys.readouterr().err
    stopping(monkeypatch, None)
    resume(run, settings(tiny_data, EVERY), {})
    assert steps_drawn(run) == [6, 12, 18]
    assert {p.name: p.read_bytes() for p in (run / "plots").iterdir()} == {
        p.name: p.read_bytes() for p in (drawn / "plots").iterdir()
    }


def test_a_validation_that_a_resumed_run_makes_again_is_drawn_with_its_own_weights(
    drawn: Path, tiny_data: Path, tmp_path: Path, monkeypatch
) -> None:
    run = tmp_path / "run"
    stopping(monkeypatch, 12, chunk=0)
    with pytest.raises(PreemptedError):
        drawn_run(tiny_data, run)
    # what goes on is not called last.ckpt
    (run / "checkpoints" / "last.ckpt").rename(run / "checkpoints" / "kept.ckpt")
    stopping(monkeypatch, None)
    resume(run, settings(tiny_data, EVERY), {})
    assert steps_drawn(run) == [6, 12, 18]
    name = "step=000012-temporal.png"
    assert (run / "plots" / name).read_bytes() == (drawn / "plots" / name).read_bytes()


def test_a_library_that_breaks_is_one_warning_and_the_run_the_same(
    tiny_data: Path, tiny_run, tmp_path: Path, monkeypatch, capsys
) -> None:
    """A matplotlib that raises whatever it likes."""
    (tmp_path / "broken" / "matplotlib").mkdir(parents=True)
    (tmp_path / "broken" / "matplotlib" / "__init__.py").write_text("raise RuntimeError('no such thing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"), prepend=":")
    run = tmp_path / "run"
    drawn_run(tiny_data, run, **{"checkpoint.keep_best": 2})
    said = capsys.readouterr().err
    assert said.count("no such thing; the run goes on without pictures") == 1
    assert waiting(run) == []
    assert [w for w in differing(tiny_run.folder, run) if "logging" not in w and "keep_best" not in w] == []
    assert events(run, "finished")


def test_a_full_disk_is_one_warning(tiny_data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def full(run: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(run / "plots"))

    monkeypatch.setattr(pictures, "let_wait", full)
    run = tmp_path / "run"
    assert drawn_run(tiny_data, run)["steps"] == 18
    said = capsys.readouterr().err
    assert said.count("No space left on device; the run goes on without pictures") == 1
    assert steps_drawn(run) == []


def test_no_more_waits_than_a_disk_can_hold(drawn: Path, tiny_data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(pictures, "MOST_WAITING", 0)
    run = tmp_path / "run"
    drawn_run(tiny_data, run)
    assert capsys.readouterr().err.count("gets no pictures: 0 sets still wait") == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [("last.ckpt", "is of step 18, not 6"), (None, ".step=000006.ckpt")],
)
def test_what_waits_and_cannot_be_drawn_is_named(source: str | None, said: str, drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(drawn, run)
    if source is None:
        (run / "plots" / ".step=000006.ckpt").write_bytes(b"half a checkpoint")
    else:
        let_wait(run, 6, run / "checkpoints" / source)
    ended = subprocess.run([*FOLLOW, str(run)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 3
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert len(events(run, "pictures")) == 3


def test_a_disk_that_takes_no_picture_is_named(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(drawn, run)
    let_wait(run, 18, run / "checkpoints" / "last.ckpt")
    (run / "plots" / "step=000018-bps.png").unlink()
    (run / "plots" / "step=000018-bps.png").mkdir()
    ended = subprocess.run([*FOLLOW, str(run)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 5
    assert "Is a directory" in ended.stderr.splitlines()[-1]
    assert len(events(run, "pictures")) == 3
