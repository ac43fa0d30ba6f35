"""Which run a name means."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from vctrain.errors import ContractError
from vctrain.runs import locate
from vctrain.runs.locate import newest_run, run_of
from vctrain.runs.lock import locked

JOB = ("SLURM_JOB_ID", "SLURM_PROCID", "SLURM_NTASKS", "RANK", "WORLD_SIZE")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in JOB:
        monkeypatch.delenv(name, raising=False)


def make(name: str, updated: str, state: str = "preempted", job: str | None = None) -> Path:
    run = Path("runs") / name
    (run / "checkpoints").mkdir(parents=True)
    ids = {} if job is None else {"slurm_job_id": job}
    (run / "run.json").write_text(json.dumps({"state": state, "updated": updated, "ids": ids}))
    return run


def test_a_directory_and_a_checkpoint_in_it_name_a_run() -> None:
    run = make("a", "2026-01-01")
    (run / "checkpoints" / "last.ckpt").touch()
    assert run_of("runs/a") == (run, None)
    place, checkpoint = run_of("runs/a/checkpoints/last.ckpt")
    assert place.samefile(run)
    assert checkpoint == run / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("target", ["runs/none", "alone.ckpt", "runs/a/last.ckpt", "runs"])
def test_what_is_no_run_is_refused(target: str) -> None:
    make("a", "2026-01-01")
    Path("alone.ckpt").touch()
    Path("runs/a/last.ckpt").touch()
    with pytest.raises(ContractError) as caught:
        run_of(target)
    assert caught.value.hint


def test_auto_is_the_unfinished_run_written_last_that_nobody_writes() -> None:
    assert newest_run(lambda *_: True) is None
    make("a", "2026-01-03", "failed")
    make("b", "2026-01-02", "running")
    make("c", "2026-01-04", "done")
    assert newest_run(lambda *_: True) == Path("runs/a")
    assert newest_run(lambda path, run: run["state"] != "failed") == Path("runs/b")
    with locked(Path("runs/a")):
        assert newest_run(lambda *_: True) == Path("runs/b")


def test_a_damaged_run_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    make("a", "2026-01-03")
    (make("b", "2026-01-04") / "run.json").write_text('{"state": ')
    assert newest_run(lambda *_: True) == Path("runs/a")
    assert "passed over: runs/b/run.json cannot be read" in capsys.readouterr().err


def test_auto_in_a_job_is_the_run_of_the_job(monkeypatch) -> None:
    make("a", "2026-01-03", job="6")
    make("b", "2026-01-02", "done", job="7")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert newest_run(lambda *_: True) == Path("runs/b")
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert newest_run(lambda *_: True) == Path("runs/a")


def test_another_process_waits_for_the_first_to_fill_the_directory(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    run = Path("runs/new").absolute()
    run.mkdir(parents=True)

    def fill() -> None:
        time.sleep(0.3)
        (run / "run.json").write_text("{}")

    first = threading.Thread(target=fill)
    first.start()
    assert run_of("runs/new") == (Path("runs/new"), None)
    first.join()
    (run / "run.json").unlink()
    monkeypatch.setattr(locate, "CREATION_SECONDS", 0.2)
    with pytest.raises(ContractError, match=r"run\.json"):
        run_of("runs/new")
