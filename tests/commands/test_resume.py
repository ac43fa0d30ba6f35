"""`resume` from the command line: which run it means, what it may change, what it refuses, what it prints."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_sessions import SIMULATION

from vctrain import cli, console
from vctrain.config.resolve import read_provenance, read_settings
from vctrain.data.simulation import simulate
from vctrain.runs.lock import NAME, locked
from vctrain.runs.stopping import STOP_AT
from vctrain.training import fit
from vctrain.training.callbacks.boundaries import Boundaries

SETS = ("trainer.max_epochs=2", "trainer.steps_per_epoch=2", "data.batch_clips=4", "data.clip_frames=32",
        "init.map_minutes=0.1", "trainer.precision=32-true", "model=twin_small", "optim.warmup_steps=0")  # fmt: skip


class Terminal:
    """Commands of this process, in a folder of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], data: Path, folder: Path) -> None:
        self.capsys, self.data, self.folder, self.err = capsys, data, folder, ""

    def __call__(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
        try:
            with pytest.raises(SystemExit) as leaving:
                cli.main([*map(str, arguments), "--json"])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        console.log_to(None)
        console.configure()
        out, self.err = self.capsys.readouterr()
        assert int(leaving.value.code or 0) == code, out + self.err
        said: dict[str, Any] = json.loads(out)
        return said

    def described(self, *more: str) -> list[str]:
        """The options of a new run."""
        sets = [word for text in (*SETS, *more) for word in ("--set", text)]
        return ["--preset", "gaborium", "--data", str(self.data), "--accelerator", "cpu", *sets]


@pytest.fixture
def terminal(capsys, tiny_data, tmp_path, monkeypatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv(STOP_AT, "1e12")
    monkeypatch.setattr("sys.excepthook", None)
    return Terminal(capsys, tiny_data, tmp_path)


@pytest.fixture
def interrupted(terminal) -> Path:
    """runs/mine, stopped after its third step of four."""
    with asked_at(3):
        said = terminal("train", "--run-dir", "runs/mine", *terminal.described(), code=75)
    assert said["run"] == "runs/mine"
    return Path("runs/mine")


@contextmanager
def asked_at(step: int) -> Iterator[None]:
    """Runs are asked to stop after optimizer step ``step``."""

    class Asked(Boundaries):
        def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
            if trainer.global_step == step:
                self.request.ask("SIGTERM")
            super().on_train_batch_end(trainer, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Boundaries", Asked)
        yield


def test_a_run_goes_on_by_its_name_by_its_checkpoint_and_by_auto(terminal, interrupted) -> None:
    shutil.copytree("runs/mine", "copies/one")
    said = terminal("resume", "copies/one/checkpoints/last.ckpt")
    assert said["ok"] is True
    assert said["command"] == "resume"
    assert said["steps"] == 4
    assert "copies/one at step 3 from last.ckpt" in terminal.err
    by_auto = terminal("resume", "auto")
    assert by_auto["run"] == "runs/mine"
    assert by_auto["val_bps"] == said["val_bps"]
    assert terminal("resume", "runs/mine") == by_auto
    assert "is done" in terminal.err
    said = terminal("resume", "auto", code=2)
    assert "no unfinished run" in said["error"]["message"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--set", "optim.lr=1"), "optim.lr"),
        (("--seed", "4"), "seed"),
        (("--set", "data.batch_clips=8"), "data.batch_clips"),
        (("--set", "trainer.steps_per_epoch=3"), "trainer.steps_per_epoch"),
        (("--types", "backimage"), "data.types"),
        (("--set", "model.output=exp"), "model.output"),
    ],
)
def test_another_run_is_refused_with_the_command_that_starts_it(change, named, terminal, interrupted) -> None:
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    said = terminal("resume", "runs/mine", *change, code=2)["error"]
    assert named in said["message"]
    assert "trainer.max_epochs" in said["message"]
    assert f"vctrain finetune runs/mine --set {named}=" in said["hint"]
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before


def test_what_may_change_does_and_is_said(terminal, interrupted, tiny_data) -> None:
    moved = terminal.folder / "moved"
    shutil.copytree(tiny_data.parent, moved)
    sets = [word for text in ("trainer.max_epochs=3", "checkpoint.every_n_steps=1") for word in ("--set", text)]
    assert terminal("resume", "runs/mine", "--data", moved, *sets)["steps"] == 6
    assert "trainer.max_epochs 2 -> 3 (--set)" in terminal.err
    assert "learning rate" in terminal.err
    stored, sources = read_settings(interrupted / "config.yaml"), read_provenance(interrupted / "config.yaml")
    assert (stored.trainer.max_epochs, stored.checkpoint.every_n_steps) == (3, 1)
    assert stored.data.path == str(moved)
    assert (sources["trainer.max_epochs"], sources["data.path"], sources["seed"]) == ("--set", "--data", "default")


def test_an_edited_config_is_another_run(terminal, interrupted) -> None:
    config = interrupted / "config.yaml"
    config.write_text(config.read_text().replace("weight_decay: 0.0001", "weight_decay: 0.5"))
    said = terminal("resume", "runs/mine", code=2)["error"]
    assert "optim.weight_decay" in said["message"]
    assert "config.yaml" in said["message"]


def test_another_recording_of_the_same_name_is_refused(terminal, interrupted, tiny_data) -> None:
    simulate(terminal.folder / "other", SIMULATION.model_copy(update={"seed": 6}))
    said = terminal("resume", "runs/mine", "--data", terminal.folder / "other", code=3)["error"]
    assert "Sim" in said["message"]
    assert said["hint"]


def test_or_start_starts_once_and_goes_on_every_time_after(terminal) -> None:
    command = ["resume", "runs/mine", "--or-start", *terminal.described()]
    with asked_at(3):
        said = terminal(*command, code=75)
    assert said["command"] == "resume"
    assert said["run"] == "runs/mine"
    assert terminal(*command)["steps"] == 4
    assert "resuming runs/mine at step 3" in terminal.err
    assert terminal(*command)["steps"] == 4
    assert sorted(Path("runs").iterdir()) == [Path("runs/mine")]
    assert terminal(*command, "--set", "optim.lr=1", code=2)["error"]["hint"]


def test_auto_or_start_tells_runs_of_other_settings_apart(terminal) -> None:
    with asked_at(1):
        runs = [
            terminal("resume", "auto", "--or-start", *terminal.described(f"optim.lr={rate}"), code=75)["run"]
            for rate in (1e-3, 2e-3)
        ]
    assert len(set(runs)) == 2
    for run, rate in zip(runs, (1e-3, 2e-3), strict=True):
        assert terminal("resume", "auto", "--or-start", *terminal.described(f"optim.lr={rate}"))["run"] == run
    assert len(list(Path("runs").iterdir())) == 2


def test_a_directory_that_is_being_written_is_left_alone(terminal, interrupted) -> None:
    with locked(interrupted):
        holder = (interrupted / NAME).read_text()
        said = terminal("resume", "runs/mine", code=2)["error"]
        assert (interrupted / NAME).read_text() == holder
        assert json.loads(holder)["host"] in said["message"]
        assert str(json.loads(holder)["pid"]) in said["message"]
        assert "no unfinished run" in terminal("resume", "auto", code=2)["error"]["message"]
    assert json.loads((interrupted / "run.json").read_text())["state"] == "preempted"


def test_a_branch_goes_on_from_an_earlier_checkpoint_in_a_new_directory(terminal, interrupted) -> None:
    first = next((interrupted / "checkpoints").glob("epoch=00*"))
    said = terminal("resume", first, code=2)["error"]
    assert "at step 2, but last.ckpt of the same run at step 3" in said["message"]
    assert "--run-dir" in said["hint"]
    said = terminal("resume", first, "--run-dir", "runs/branch", "--set", "trainer.max_epochs=3")
    assert said["run"] == "runs/branch"
    assert said["steps"] == 6
    rows = [line.split(",")[0] for line in (Path("runs/branch") / "metrics.csv").read_text().splitlines()[1:]]
    assert rows == ["2", "4", "6"]
    assert yaml.safe_load((interrupted / "config.yaml").read_text())["trainer"]["max_epochs"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("resume", "runs/none"), 3, "no such run"),
        (("resume", "runs/mine", "--preset", "gaborium"), 2, "--or-start"),
        (("resume", "runs/mine", "--run-dir", "runs/x"), 2, "goes on where it is"),
        (("resume", "runs/mine", "--time-limit", "soon"), 2, "not a time"),
        (("resume", "auto", "--or-start"), 2, "no settings"),
    ],
)
def test_commands_that_mean_nothing_are_refused(arguments, code, said, terminal, interrupted) -> None:
    error = terminal(*arguments, code=code)["error"]
    assert said in error["message"] + error["hint"]


def test_a_checkpoint_without_a_run_is_refused(terminal, interrupted) -> None:
    shutil.copyfile(interrupted / "checkpoints" / "last.ckpt", "alone.ckpt")
    said = terminal("resume", "alone.ckpt", code=3)["error"]
    assert "vctrain finetune alone.ckpt" in said["hint"]


def test_a_time_limit_saves_and_stops(terminal) -> None:
    """Half of the time is kept for saving where there is little."""
    command = [*terminal.described("trainer.max_epochs=500"), "--run-dir", "runs/mine", "--time-limit", "0:06"]
    said = terminal("train", *command, code=75)
    assert "the time limit" in said["error"]["message"]
    assert said["run"] == "runs/mine"
    assert (Path("runs/mine") / "checkpoints" / "last.ckpt").is_file()
