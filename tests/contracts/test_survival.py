"""Whatever ends a command, its run goes on as if nothing had happened: signals, kills, full disks, lost processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_runs import config_file, environment, events, finish, last_step, state, steps_of, until, vctrain

from benchmarks.same_run import differing
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.lock import NAME

SECONDS_TO_STOP = 20.0
LASTS = {"trainer.max_epochs": 12, "trainer.steps_per_epoch": 6, "checkpoint.every_n_steps": 2}
"""Long enough to be stopped in the middle, short enough to be waited for."""
VALIDATES = {"trainer.max_epochs": 30, "trainer.steps_per_epoch": 1, "checkpoint.every_n_minutes": None}
"""Hardly anything but validation."""
SAVES = {"trainer.max_epochs": 20, "trainer.steps_per_epoch": 3, "checkpoint.every_n_steps": 1}
"""Many epochs: the file that is looked for is there for milliseconds of each."""


class Runs:
    """Commands on the tiny recordings, and for each set of settings the run that nobody stopped."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data.parent

    def start(self, run: Path, settings: dict[str, object], processes: int = 1, **options: object):
        config = config_file(run.with_name(f"{run.name}.yaml"), settings)
        command = ("resume", run, "--or-start", "--config", config, "--data", self.data, "--devices", processes)
        return vctrain(*command, "--json", **options)

    def whole(self, settings: dict[str, object], processes: int = 1) -> Path:
        name = f"whole-{processes}-" + "-".join(map(str, settings.values()))
        if not (self.folder / name).exists():
            finish(self.start(self.folder / name, settings, processes), 0)
        return self.folder / name

    def check_it_goes_on(self, run: Path, settings: dict[str, object], processes: int = 1) -> None:
        """Resumed to its end, the run is the one that nobody stopped."""
        finish(self.start(run, settings, processes), 0)
        assert differing(self.whole(settings, processes), run) == []


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"), tiny_data)


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that the command started, in order of rank."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = []
    for child in map(int, children):
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found += [(int(v[5:]), child) for v in variables if v.startswith(b"RANK=")]
    return [child for _, child in sorted(found)]


def check_stopped(process: subprocess.Popen[str], run: Path, why: str) -> None:
    """It ends with 75 in time, one JSON object, its state, and a checkpoint that loads."""
    begun = time.monotonic()
    out, _ = finish(process, 75)
    assert time.monotonic() - begun < SECONDS_TO_STOP
    said = json.loads(out)
    assert (said["ok"], said["error"]["code"], said["run"]) == (False, 75, str(run))
    assert why in said["error"]["message"]
    assert f"vctrain resume {run}" in said["error"]["hint"]
    assert state(run) == "preempted"
    assert not (run / NAME).exists()
    assert read_checkpoint(run / "checkpoints" / "last.ckpt").resumable


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow),
                                    pytest.param(signal.SIGUSR1, marks=pytest.mark.slow),
                                    pytest.param(signal.SIGUSR2, marks=pytest.mark.slow)])  # fmt: skip
def test_a_signal_in_training_saves_and_the_run_goes_on(number: signal.Signals, runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS)
    until(process, lambda: last_step(run) >= 8)
    process.send_signal(number)
    check_stopped(process, run, number.name)
    runs.check_it_goes_on(run, LASTS)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_in_a_validation(processes: int, runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, VALIDATES, processes)
    until(process, lambda: len(events(run, "validated")) >= 3)
    process.send_signal(signal.SIGTERM)
    check_stopped(process, run, "stopped at step")
    runs.check_it_goes_on(run, VALIDATES, processes)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("wanted", [".last.ckpt.*.part", ".epoch=*.part"])
def test_a_signal_while_saving(wanted: str, processes: int, runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, SAVES, processes)
    until(process, lambda: any((run / "checkpoints").glob(wanted)))
    process.send_signal(signal.SIGTERM)
    check_stopped(process, run, "stopped at step")
    assert not list((run / "checkpoints").glob(".*"))
    runs.check_it_goes_on(run, SAVES, processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 1), (signal.SIGUSR1, 143, 1), (signal.SIGTERM, 143, 2)],
)
def test_a_signal_before_there_is_anything_to_save(
    number: int, code: int, processes: int, runs: Runs, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS, processes)
    until(process, lambda: b"torch" in Path(f"/proc/{process.pid}/maps").read_bytes())
    process.send_signal(number)
    out, _ = finish(process, code)
    assert json.loads(out)["error"]["code"] == code
    assert not run.exists() or state(run) in ("interrupted", "created")
    runs.check_it_goes_on(run, LASTS, processes)


@pytest.mark.slow
@pytest.mark.parametrize("told", [1, 0])
def test_one_process_that_is_told_stops_all(told: int, runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS, 2)
    until(process, lambda: last_step(run) >= 8)
    os.kill(ranks_of(process)[told], signal.SIGTERM)
    check_stopped(process, run, "stopped at step")
    runs.check_it_goes_on(run, LASTS, 2)


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 0])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_does_not_answer_ends_the_others_with_5(
    number: signal.Signals, which: int, runs: Runs, tmp_path: Path
) -> None:
    """Not in a hang: the command names the process that was killed; one that waits says where, and for whom."""
    run = tmp_path / "run"
    process = runs.start(run, {**LASTS, "trainer.silence_minutes": 0.1}, 2)
    until(process, lambda: last_step(run) >= 8)
    ranks = ranks_of(process)
    os.kill(ranks[which], number)
    begun = time.monotonic()
    out, _ = finish(process, 5)
    assert time.monotonic() - begun < 60
    said = json.loads(out)["error"]
    if number == signal.SIGKILL:
        assert f"rank {which} of 2" in said["message"]
    else:
        assert f"rank {1 - which} of 2, step " in said["message"]
        assert "did not answer" in said["message"]
        assert "vctrain resume" in said["hint"]
    assert state(run) == "failed"
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    runs.check_it_goes_on(run, LASTS, 2)


@pytest.mark.slow
def test_processes_end_with_the_command_that_started_them(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS, 2)
    until(process, lambda: last_step(run) >= 8)
    ranks = ranks_of(process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < deadline, "a process goes on without its command"
        time.sleep(0.05)
    assert (run / NAME).exists()
    _, err = finish(runs.start(run, LASTS, 2), 0)
    assert f"process {process.pid} " in err
    assert "is taken over" in err
    assert differing(runs.whole(LASTS, 2), run) == []


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS)
    until(process, lambda: last_step(run) >= 8)
    process.send_signal(signal.SIGTERM)
    check_stopped(process, run, "SIGTERM")
    before = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    limit = max(map(len, before.values())) // 2
    out, _ = finish(runs.start(run, LASTS, under=("prlimit", f"--fsize={limit}")), 5)
    said = json.loads(out)["error"]
    assert "could not be written" in said["message"]
    assert f"then vctrain resume {run}" in said["hint"]
    assert state(run) == "failed"
    after = {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert after["last.ckpt"] == before["last.ckpt"]
    assert all(after[name] == content for name, content in before.items() if name != "previous.ckpt")
    runs.check_it_goes_on(run, LASTS)


@pytest.mark.slow
def test_a_second_writer_is_refused_and_harms_nothing(runs: Runs, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = runs.start(run, LASTS)
    until(first, lambda: last_step(run) >= 4)
    first.send_signal(signal.SIGSTOP)
    out, _ = finish(vctrain("resume", run, "--json"), 2)
    first.send_signal(signal.SIGCONT)
    assert f"process {first.pid} " in json.loads(out)["error"]["message"]
    finish(first, 0)
    assert differing(runs.whole(LASTS), run) == []


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on_with_the_same_batches(
    before: int, after: int, runs: Runs, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = runs.start(run, LASTS, before)
    until(process, lambda: last_step(run) >= 62)
    process.send_signal(signal.SIGTERM)
    check_stopped(process, run, "SIGTERM")
    _, err = finish(runs.start(run, LASTS, after), 0)
    assert f"{after} processes instead of {before}" in err
    assert f"trainer.devices {before} -> {after}" in err
    assert steps_of(run) == steps_of(runs.whole(LASTS, before))
    ours, whole = (read_checkpoint(r / "checkpoints" / "last.ckpt").weights for r in (run, runs.whole(LASTS, before)))
    for name, weight in whole.items():
        assert float((weight - ours[name]).abs().mean()) < 2e-5, name


@pytest.mark.slow
def test_torchrun_leaves_the_state_and_resumes(runs: Runs, tmp_path: Path) -> None:
    """torchrun makes 1 of every exit code: the state of run.json is what counts."""
    run = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vctrain"]
    config = config_file(tmp_path / "settings.yaml", LASTS)
    command = [*torchrun, "resume", str(run), "--or-start", "--config", str(config), "--data", str(runs.data)]
    command += ["--devices", "2"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment())
    until(process, lambda: last_step(run) >= 8)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert state(run) == "preempted"
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert state(run) == "done"
    assert len(events(run, "created")) == len(events(run, "finished")) == 1
    assert differing(runs.whole(LASTS, 2), run) == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_instants_it_is_the_same_run(processes: int) -> None:
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "6", "--processes", str(processes)]
    folder = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=True)
    (result,) = json.loads(done.stdout)["results"]
    assert result["kills"] == 6
    assert result["differences"] == []


@pytest.mark.slow
def test_figures_hold_every_validation_once(runs: Runs, tmp_path: Path) -> None:
    """Cut off twice in the same epoch: neither a row too many nor one too few."""
    run = tmp_path / "run"
    for _ in range(2):
        process = runs.start(run, VALIDATES)
        seen = len(events(run, "validated"))
        until(process, lambda seen=seen: len(events(run, "validated")) > seen)
        process.kill()
        process.wait()
    finish(runs.start(run, VALIDATES), 0)
    assert steps_of(run) == [str(step) for step in range(1, 31)]
