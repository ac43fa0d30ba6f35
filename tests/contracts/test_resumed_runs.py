"""A run that was stopped and resumed is the run that was not: every tensor, every figure, every file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import events, stopping
from made_sessions import MODEL, settings

from benchmarks.same_run import differing
from vctrain.config.resolve import read_settings
from vctrain.config.schema import Settings
from vctrain.errors import ContractError, PreemptedError, UsageError
from vctrain.runs.checkpoint_files import newest_good
from vctrain.training import fit
from vctrain.training.resuming import branch, resume

SHORT = {"trainer.max_epochs": 3, "trainer.steps_per_epoch": 4}
CURRICULUM = {"data.curriculum": {"warmup_steps": 8}}
DROPOUT = {**MODEL, "convnet": {**MODEL["convnet"], "stem": {**MODEL["convnet"]["stem"], "dropout": 0.2}}}


def train(chosen: Settings, run: Path) -> dict[str, Any]:
    return fit.train(chosen, run_dir=run, provenance={}, argv=[])


def with_stops(
    chosen: Settings, run: Path, monkeypatch: pytest.MonkeyPatch, *stops: tuple[int, int | None]
) -> dict[str, Any]:
    """Train, stop after these steps (and chunks of validation), resume each time."""
    begun = False
    for step, chunk in stops:
        stopping(monkeypatch, step, chunk)
        with pytest.raises(PreemptedError) as caught:
            resume(run) if begun else train(chosen, run)
        begun = True
        assert caught.value.run == str(run)
        assert f"step {step}" in caught.value.message
        assert json.loads((run / "run.json").read_text())["state"] == "preempted"
    stopping(monkeypatch, None)
    return resume(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"trainer.accumulate": 2, "trainer.ema_decay": 0.9, "model": DROPOUT, **CURRICULUM},
        {"optim.schedule": "plateau", "optim.plateau_patience": 0, "optim.lr": 0.03},
    ],
    ids=["accumulate-ema-dropout-curriculum", "plateau"],
)
def test_a_resumed_run_is_the_run(changes: dict[str, Any], tiny_data, tmp_path, monkeypatch) -> None:
    check_resumed(changes, tiny_data, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"trainer.accumulate": 2},
        {"trainer.ema_decay": 0.9},
        {"model": DROPOUT},
        {"optim.schedule": "step", "optim.decay_epochs": 1},
        {"optim.schedule": "cosine_warmup_restart", "optim.restart_epochs": 1},
        {"data.homogeneous": True, **CURRICULUM},
        {"data.sampling": "uniform", **CURRICULUM},
        {"data.sampling": "epoch", "trainer.accumulate": 2},
        {"data.composition": "by_subject", **CURRICULUM},
        {"regularization": [{"name": "sparse", "type": "proximal_l1", "lambda": 1e-3, "apply_to": ["features"]}]},
        {"checkpoint.keep_best": 1, "checkpoint.every_n_steps": 1},
    ],
    ids=lambda changes: "-".join(map(str, changes)) or "plain",
)
def test_every_setting_resumes(changes: dict[str, Any], tiny_data, tmp_path, monkeypatch) -> None:
    check_resumed(changes, tiny_data, tmp_path, monkeypatch)


def check_resumed(changes: dict[str, Any], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(tiny_data, SHORT | changes)
    whole = train(chosen, tmp_path / "whole")
    result = with_stops(chosen, tmp_path / "run", monkeypatch, (3, None), (4, 1), (9, None))
    assert differing(tmp_path / "whole", tmp_path / "run") == []
    assert {k: v for k, v in result.items() if k not in ("run", "checkpoint", "seconds")} == {
        k: v for k, v in whole.items() if k not in ("run", "checkpoint", "seconds")
    }
    assert [event["step"] for event in events(tmp_path / "run", "resumed")] == [3, 4, 9]


@pytest.mark.parametrize("step", [4, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 2, 3, 5, 6, 7, 8))])
def test_any_step_is_one_to_stop_at(step: int, tmp_path, monkeypatch, whole) -> None:
    chosen, reference = whole
    with_stops(chosen, tmp_path / "run", monkeypatch, (step, None))
    assert differing(reference, tmp_path / "run") == []


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory):
    """Settings and directory of a run that nobody stopped."""
    chosen = settings(tiny_data, {"trainer.max_epochs": 2, "trainer.steps_per_epoch": 4})
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit.train(chosen, run_dir=folder, provenance={}, argv=[])
    return chosen, folder


@pytest.mark.parametrize(
    "stops",
    [
        ((4, 0),),
        ((8, 1), (8, 2)),
        pytest.param(((8, 0),), marks=pytest.mark.slow),
        pytest.param(((4, None), (4, 0), (4, 1), (5, None)), marks=pytest.mark.slow),
    ],
)
def test_a_validation_that_was_cut_off_is_made_again(stops, whole, tmp_path, monkeypatch) -> None:
    chosen, reference = whole
    with_stops(chosen, tmp_path / "run", monkeypatch, *stops)
    assert differing(reference, tmp_path / "run") == []


STOPS_EARLY = {"trainer.max_epochs": 8, "trainer.steps_per_epoch": 2, "trainer.patience": 1, "trainer.min_delta": 10.0}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [(1, None), (2, None), (2, 0), (3, None), (4, None), (4, 1)])
def test_patience_goes_on_where_it_was(stop, tiny_data, tmp_path, monkeypatch) -> None:
    chosen = settings(tiny_data, STOPS_EARLY | {"checkpoint.keep_best": 5})
    whole = train(chosen, tmp_path / "whole")
    assert whole["steps"] == 4
    result = with_stops(chosen, tmp_path / "run", monkeypatch, stop)
    assert result["steps"] == 4
    assert differing(tmp_path / "whole", tmp_path / "run") == []


@pytest.mark.parametrize("patience", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_a_run_killed_after_its_last_validation_only_ends(patience, tiny_data, tmp_path, monkeypatch) -> None:
    """What is on the disk is the checkpoint of the last validation, and no end."""
    chosen = settings(tiny_data, STOPS_EARLY | {"checkpoint.keep_best": 5, "trainer.patience": patience})
    whole = train(chosen, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def killed(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fit.Checkpoints, "save_final", killed)
        with pytest.raises(Killed):
            train(chosen, tmp_path / "run")
    result = resume(tmp_path / "run")
    assert result["steps"] == whole["steps"]
    assert differing(tmp_path / "whole", tmp_path / "run") == []


def test_checkpoints_of_a_killed_run_that_are_no_longer_among_the_best_go(tiny_data, tmp_path, monkeypatch) -> None:
    chosen = settings(tiny_data, SHORT | {"checkpoint.keep_best": 1})
    train(chosen, tmp_path / "whole")
    run = tmp_path / "run"
    stopping(monkeypatch, 9)
    with pytest.raises(PreemptedError):
        train(chosen, run)
    extra = run / "checkpoints" / "epoch=00-val_bps_overall=-0.5000.ckpt"
    shutil.copyfile(run / "checkpoints" / "best.ckpt", extra)
    (run / "checkpoints" / ".last.ckpt.0000.part").write_bytes(b"half")
    stopping(monkeypatch, None)
    resume(run)
    assert differing(tmp_path / "whole", run) == []


@pytest.fixture
def stopped(whole, tmp_path, monkeypatch) -> Path:
    """The run of `whole`, stopped after step 6."""
    chosen, _ = whole
    stopping(monkeypatch, 6)
    with pytest.raises(PreemptedError):
        train(chosen.model_copy(update={"checkpoint": chosen.checkpoint}), tmp_path / "run")
    stopping(monkeypatch, None)
    return tmp_path / "run"


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [truncated, pytest.param(flipped, marks=pytest.mark.slow), pytest.param(empty, marks=pytest.mark.slow)],
)
def test_a_damaged_last_checkpoint_falls_back_to_the_good_one_before(damage, stopped, whole, capsys) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    damage(last)
    resume(stopped)
    said = capsys.readouterr().err
    assert "passed over" in said
    assert "last.ckpt" in said
    assert "at step 4" in said
    assert differing(whole[1], stopped) == []


def test_no_good_checkpoint_at_all_is_told(stopped) -> None:
    for path in (stopped / "checkpoints").glob("*.ckpt"):
        truncated(path)
    with pytest.raises(ContractError, match="no good checkpoint") as caught:
        resume(stopped)
    assert caught.value.hint


def test_a_run_that_saved_nothing_begins_again(whole, tmp_path, monkeypatch, capsys) -> None:
    chosen, reference = whole

    def broken(*arguments: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(fit, "before_first_step", broken)
        with pytest.raises(ZeroDivisionError):
            train(chosen, tmp_path / "run")
    resume(tmp_path / "run")
    assert "begins at step 0" in capsys.readouterr().err
    assert differing(reference, tmp_path / "run") == []


def test_a_run_that_is_done_gives_its_figures_again(whole) -> None:
    _, reference = whole
    files = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file() and path.suffix != ".log"}
    first, again = resume(reference), resume(reference)
    assert first == again
    assert first["steps"] == 8
    assert {path: path.read_bytes() for path in files} == files


def test_more_epochs_go_on_after_the_end(whole, tmp_path) -> None:
    chosen, reference = whole
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    longer = chosen.trainer.model_copy(update={"max_epochs": 3})
    result = resume(run, chosen.model_copy(update={"trainer": longer}), {"trainer.max_epochs": "--set"})
    assert result["steps"] == 12
    assert "max_epochs: 3  # --set" in (run / "config.yaml").read_text()
    assert [row.split(",")[0] for row in (run / "metrics.csv").read_text().splitlines()[1:]] == ["4", "8", "12"]


def test_a_branch_from_an_earlier_checkpoint_is_the_same_run(whole, tmp_path) -> None:
    """In a directory of its own, with the figures up to there; the run it came from is left alone."""
    chosen, reference = whole
    earlier = min((reference / "checkpoints").glob("epoch=*"))
    before = {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"last\.ckpt of the same run at step") as caught:
        resume(reference, checkpoint=earlier)
    assert "--run-dir" in caught.value.hint
    branch(earlier, read_settings(reference / "config.yaml"), {}, tmp_path / "branch", ["vctrain", "resume"])
    resume(tmp_path / "branch")
    assert differing(reference, tmp_path / "branch") == []
    assert len(events(tmp_path / "branch", "branched")) == 1
    assert {path: path.read_bytes() for path in reference.rglob("*") if path.is_file()} == before
    with pytest.raises(UsageError, match=r"optim\.lr"):
        branch(
            earlier,
            chosen.model_copy(update={"optim": chosen.optim.model_copy(update={"lr": 0.5})}),
            {},
            tmp_path / "other",
            [],
        )
    assert not (tmp_path / "other").exists()


def test_fewer_epochs_than_were_made_are_refused(stopped, whole) -> None:
    chosen, _ = whole
    fewer = chosen.trainer.model_copy(update={"max_epochs": 1})
    with pytest.raises(UsageError, match="max_epochs 1 is over"):
        resume(stopped, chosen.model_copy(update={"trainer": fewer}))


def test_a_fine_tuning_goes_on_with_what_is_frozen(tiny_run, tiny_data, tmp_path, monkeypatch) -> None:
    frozen = {"start.checkpoint": str(tiny_run.folder), "start.freeze_vision": True}
    chosen = settings(tiny_data, SHORT | frozen | {"seed": 7})
    whole = train(chosen, tmp_path / "whole")
    result = with_stops(chosen, tmp_path / "run", monkeypatch, (2, None), (4, 0), (7, None))
    assert differing(tmp_path / "whole", tmp_path / "run") == []
    for key in ("from", "tensors", "vision"):
        assert result[key] == whole[key]
    assert result["vision"]["unchanged_at_end"] is True
    before, after = (
        torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for run in (tiny_run.folder, tmp_path / "run")
    )
    vision = [name for name in before if name.split(".")[1] in ("adapters", "frontend", "convnet")]
    assert vision
    assert [name for name in vision if not torch.equal(before[name], after[name])] == []
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_checkpoint_before_the_last_stays_until_the_end(stopped) -> None:
    found = newest_good(stopped)
    assert found is not None
    assert found.step == 6
    assert (stopped / "checkpoints" / "previous.ckpt").exists()
    resume(stopped)
    assert not (stopped / "checkpoints" / "previous.ckpt").exists()
    assert not list((stopped / "checkpoints").glob("*-v1*"))
