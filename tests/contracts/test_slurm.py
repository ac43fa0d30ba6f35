"""On a real SLURM of two nodes: the job scripts of docs/clusters.md, signals, time limits, requeueing, arrays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from local_cluster import script_of, two_nodes
from made_runs import LAUNCHER, config_file, events, last_step, state, steps_of

from benchmarks.same_run import unequal
from vctrain.runs.metrics_file import MetricsFile

pytestmark = pytest.mark.slurm
SHORT = {"trainer.max_epochs": 3, "trainer.steps_per_epoch": 4}
LASTS = {"trainer.max_epochs": 25, "trainer.steps_per_epoch": 8, "checkpoint.every_n_steps": 2}
"""Long enough to be requeued in the middle."""
ENDLESS = {"trainer.max_epochs": 5000, "checkpoint.every_n_steps": 5}


@pytest.fixture(scope="session")
def cluster() -> None:
    """Two nodes that take jobs."""
    two_nodes()


class Job:
    """A job script in a folder of its own."""

    def __init__(self, folder: Path, name: str, data: Path, settings: dict[str, object], *options: str) -> None:
        self.folder, self.run = folder, folder / "runs" / "mine"
        folder.mkdir(exist_ok=True)
        config = config_file(folder / "settings.yaml", settings)
        changes = {"--preset gaborium": f"--config {config}", "--data sessions.yaml": f"--data {data}"}
        (folder / name).write_text(script_of(name, changes))
        environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER}
        environment |= {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        asked = subprocess.run(
            ["sbatch", "--parsable", f"--chdir={folder}", *options, name],
            cwd=folder, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        self.number = asked.stdout.strip()

    def field(self, name: str) -> str:
        """A field of ``scontrol show job``."""
        shown = subprocess.run(["scontrol", "show", "job", self.number], capture_output=True, text=True, check=False)
        found = re.search(rf"\b{name}=(\S+)", shown.stdout)
        return found[1] if found else ""

    def wait(self, happened: Callable[[], bool], seconds: float = 150) -> None:
        """Until something ``happened``."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.field('JobState')}\n{self.said()}")
            time.sleep(0.1)

    def end(self, seconds: float = 150) -> None:
        """Until it has ended, with 0."""
        self.wait(lambda: self.field("JobState") in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"), seconds)
        assert (self.field("JobState"), self.field("ExitCode")) == ("COMPLETED", "0:0"), self.said()

    def said(self) -> str:
        """Its output."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def cancel(self) -> None:
        """End it."""
        subprocess.run(["scancel", self.number], check=False)


@pytest.fixture
def submit(cluster: None, tiny_data: Path, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Submits a job script of the docs; what still runs at the end is cancelled."""
    jobs: list[Job] = []

    def submitted(name: str, settings: dict[str, object], *options: str) -> Job:
        jobs.append(Job(tmp_path / f"job-{len(jobs)}", name, tiny_data.parent, settings, *options))
        return jobs[-1]

    yield submitted
    for job in jobs:
        job.cancel()


@pytest.fixture(scope="module")
def whole(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by two processes of this machine, without SLURM."""
    folder = tmp_path_factory.mktemp("local")
    config = config_file(folder / "settings.yaml", LASTS)
    environment = {key: value for key, value in os.environ.items() if key not in LAUNCHER} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vctrain", "train", "--config", str(config), "--data", str(tiny_data.parent)]
    subprocess.run([*command, "--devices", "2", "--run-dir", str(folder / "run")], env=environment, check=True)
    return folder / "run"


def check_same(one: Path, other: Path) -> None:
    """The same numbers and files, whatever the number of nodes."""
    names = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (one, other)]
    assert names[0] == names[1]
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (one, other))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks"):
            assert unequal(ours[key], theirs[key]) == []
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


def test_two_nodes_train_one_run(submit, whole) -> None:
    job = submit("twin.sbatch", LASTS)
    job.end()
    assert [path.name for path in job.run.parent.iterdir()] == ["mine"]
    assert state(job.run) == "done"
    assert len(events(job.run, "created")) == len(events(job.run, "finished")) == 1
    check_same(whole, job.run)


def test_requeued_three_times_it_is_the_same_run(submit, whole) -> None:
    """`scontrol requeue` kills the job in the middle of training; each time it goes on where it was."""
    job = submit("twin.sbatch", LASTS)
    for _ in range(3):
        before = last_step(job.run)
        job.wait(lambda before=before: last_step(job.run) > before)
        subprocess.run(["scontrol", "requeue", job.number], check=True)
        job.wait(lambda: job.field("JobState") in ("PENDING", "REQUEUED", "CONFIGURING"))
    job.end()
    assert job.field("Restarts") == "3"
    assert len(events(job.run, "resumed")) == 3
    assert [path.name for path in job.run.parent.iterdir()] == ["mine"]
    check_same(whole, job.run)


def test_an_array_has_a_run_directory_a_task(submit) -> None:
    job = submit("sweep.sbatch", SHORT | {"trainer.max_epochs": 1, "optim.schedule": "none"}, "--array=1-2")
    runs = [job.folder / "runs" / name for name in ("lr-1e-3", "lr-3e-3")]
    job.wait(lambda: all(state(run) == "done" for run in runs))
    assert sorted(path.name for path in (job.folder / "runs").iterdir()) == [run.name for run in runs]
    rates = [float(MetricsFile(run).rows()[0]["lr"]) for run in runs]
    assert rates == [1e-3, 3e-3]
    for run in runs:
        assert steps_of(run) == ["4"]


def test_signals_and_the_end_of_the_time_requeue_the_job(submit) -> None:
    """Two jobs on a node each: SLURM signals the one before its time is over, the other looks at the clock itself."""
    signalled = submit("sweep.sbatch", ENDLESS, "--array=1", "--time=2", "--signal=USR1@30")
    limited = submit("sweep.sbatch", ENDLESS, "--array=2", "--time=1")
    expected = ((limited, "lr-3e-3", "the time limit"), (signalled, "lr-1e-3", "SIGUSR1"))
    for job, name, why in expected:
        run = job.folder / "runs" / name
        job.wait(lambda run=run: bool(events(run, "preempted")))
        assert why in events(run, "preempted")[0]["error"]
        job.wait(lambda job=job: "exit code 75" in job.said())
        job.wait(lambda job=job: job.field("Restarts") == "1")
        job.wait(lambda run=run: bool(events(run, "resumed")))
        assert events(run, "resumed")[0]["step"] > 0
        job.cancel()
