"""Reports and pictures of a run reach Weights & Biases and TensorBoard with ``sync``, each once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from made_offline import media
from made_runs import LAUNCHER, events
from made_sessions import settings

from vctrain import cli
from vctrain.evaluation.mirror.replay import HandedOver, replay
from vctrain.runs import reports
from vctrain.runs.listing import Member
from vctrain.runs.status import status_of
from vctrain.training.fit import train


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, no launcher."""
    for name in (*LAUNCHER, "WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tiny_run, tmp_path: Path) -> Path:
    """A finished run that nothing was shown of yet."""
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    return tmp_path / "run"


def command(*arguments: object) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    assert not caught.value.code


def test_a_report_is_uploaded_once_wherever_it_lies(run: Path, tmp_path: Path, capsys) -> None:
    before = status_of(Member(run, run / "config.yaml"))
    assert replay(run, "wandb-offline").report is None
    best = run / "checkpoints" / "best.ckpt"
    command("eval-bps", best, "--replicates", 10, "--report", tmp_path / "outside", "--accelerator", "cpu")
    assert f"vctrain sync {run} uploads the report" in capsys.readouterr().err
    (told,) = events(run, "reported")
    page = tmp_path / "outside" / "report.html"
    assert (told["report"], told["checkpoint"]) == (str(page), "best.ckpt")
    assert replay(run, "tensorboard").report is None
    command("sync", run, "--to", "wandb-offline", "--json")
    assert json.loads(capsys.readouterr().out)["report"] == str(page)
    step = 18
    assert media(run, "report") == [(step, page.read_bytes())]
    assert replay(run, "wandb-offline") == HandedOver()
    assert replay(run, "wandb-offline", again=True).report == page
    # what is said of the run is still what its training said
    after = status_of(Member(run, run / "config.yaml"))
    assert (after.state, after.seconds) == (before.state, before.seconds)


def test_one_in_the_run_directory_needs_nobody_to_tell(run: Path) -> None:
    pages = [run / "report" / "report.html", run / "eval" / "all" / "report.html"]
    for number, page in enumerate(pages):
        page.parent.mkdir(parents=True)
        page.write_text(f"<p>{number}</p>")
        os.utime(page, (1e9 - number, 1e9 - number))
    assert replay(run, "wandb-offline").report == pages[0]
    # a later one takes its place
    os.utime(pages[1], (2e9, 2e9))
    assert replay(run, "wandb-offline").report == pages[1]
    assert [content for _, content in media(run, "report")] == [b"<p>0</p>", b"<p>1</p>"]
    for page in pages:
        page.unlink()
    assert replay(run, "wandb-offline") == HandedOver()


def test_a_report_inside_moves_with_its_run(run: Path, tmp_path: Path) -> None:
    page = run / "shown" / "deeper" / "still" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>it</p>")
    assert reports.note_report(run / "checkpoints" / "last.ckpt", page) == (run, None)
    moved = run.rename(tmp_path / "moved")
    assert reports.newest_report(moved) == moved / "shown" / "deeper" / "still" / "report.html"


def test_a_run_that_cannot_be_written_is_named_and_the_report_is_there(
    run: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(reports, "append_event", refused)
    command("eval-bps", run, "--replicates", 0, "--report", tmp_path / "out", "--accelerator", "cpu")
    assert f"{run} could not be told of the report: Permission denied" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_checkpoint_in_no_run_tells_nobody(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(run / "checkpoints" / "best.ckpt", alone)
    assert reports.note_report(alone, tmp_path / "report.html") is None


def test_pictures_reach_both_later_and_one_that_is_gone_is_named(tiny_data: Path, tmp_path: Path, capsys) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "drawn"
    train(settings(tiny_data, {"logging.plots_every": 1}), run_dir=run, provenance={}, argv=["vctrain"])
    (run / "plots" / "step=000006-spatial.png").unlink()
    capsys.readouterr()
    command("sync", run, "--to", "tensorboard")
    assert "pictures that are no longer there: 1, such as plots/step=000006-spatial.png" in capsys.readouterr().err
    command("sync", run, "--to", "wandb-offline")
    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    for name, steps in (("bps", [6, 12, 18]), ("spatial", [12, 18])):
        files = [(run / "plots" / f"step={step:06d}-{name}.png").read_bytes() for step in steps]
        assert media(run, f"pictures/{name}") == list(zip(steps, files, strict=True))
        assert [image.step for image in read.Images(f"pictures/{name}")] == steps
