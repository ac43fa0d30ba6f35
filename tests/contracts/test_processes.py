"""One process or several, once or twice: the same figures and the same weights. Real processes over gloo."""

from __future__ import annotations

import json

import pytest
import torch
from made_sessions import settings

from vctrain.evaluation.evaluate import evaluate
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training import fit
from vctrain.training.prepare import prepare


def test_same_settings_and_seed_give_the_same_run(tiny_run, tmp_path) -> None:
    again = fit.train(tiny_run.settings, run_dir=tmp_path / "again", provenance={}, argv=[])
    for name in ("best.ckpt", "last.ckpt"):
        runs = (tiny_run.folder, tmp_path / "again")
        ours, theirs = (read_checkpoint(run / "checkpoints" / name).weights for run in runs)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == (tiny_run.folder / "metrics.csv").read_bytes()
    assert again["val_bps"] == tiny_run.result["val_bps"]


@pytest.fixture(scope="module")
def two_processes(tiny_data, tmp_path_factory):
    """Two steps of the tiny twin on two processes: the run directory and its result."""
    changes = {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "trainer.devices": 2, "optim.warmup_steps": 0}
    changes["logging.plots_every"] = 1
    folder = tmp_path_factory.mktemp("ddp") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
            patch.delenv(name, raising=False)
        result = fit.train(settings(tiny_data, changes), run_dir=folder, provenance={}, argv=[])
    return folder, result


@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_and_leave_one_record(two_processes) -> None:
    folder, result = two_processes
    assert result["steps"] == 2
    run = json.loads((folder / "run.json").read_text())
    assert run["state"] == "done"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2
    events = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [events.count(kind) for kind in ("created", "validated", "pictures", "finished")] == [1, 1, 1, 1]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("processes", "more"),
    [
        (2, {}),
        pytest.param(3, {}, marks=pytest.mark.slow),
        pytest.param(2, {"trainer.compile": True, "data.residency": "host"}, marks=pytest.mark.slow),
    ],
)
def test_steps_on_several_processes_are_the_steps_of_one(processes: int, more: dict, tiny_data, tmp_path) -> None:
    """The same global batch: the same weights but for rounding, which AdamW spreads."""
    changes = {"trainer.max_epochs": 1, "trainer.steps_per_epoch": 2, "optim.warmup_steps": 0, "data.batch_clips": 12}
    chosen = {n: settings(tiny_data, {**changes, "trainer.devices": n}) for n in (1, processes)}
    chosen[processes] = settings(tiny_data, {**changes, "trainer.devices": processes, **more})
    found = []
    for n, asked in chosen.items():
        fit.train(asked, run_dir=tmp_path / str(n), provenance={}, argv=[])
        found.append(read_checkpoint(tmp_path / str(n) / "checkpoints" / "last.ckpt").weights)
    one, several = found
    start = prepare(chosen[1], 1).twin.state_dict()
    assert one.keys() == several.keys()
    moved = sum(float((one[name] - start[name]).square().sum()) for name in one if "features" in name) ** 0.5
    assert moved > 1e-3
    for name, ours in one.items():
        apart = (ours - several[name]).abs()
        assert float(apart.mean()) < 2e-5, name
        assert float((apart > 1e-4).float().mean()) < 0.05, name


@pytest.mark.usefixtures("one_thread")
def test_figures_of_a_checkpoint_do_not_depend_on_the_processes(two_processes) -> None:
    folder, result = two_processes
    checkpoint = str(folder / "checkpoints" / "best.ckpt")
    one = evaluate(checkpoint, devices=1, accelerator="cpu")
    for devices in (2, 3):
        several = evaluate(checkpoint, devices=devices, accelerator="cpu")
        for name, session in one["sessions"].items():
            assert several["sessions"][name]["units"] == pytest.approx(session["units"], abs=1e-12)
            assert several["sessions"][name]["n_frames"] == session["n_frames"]
        for key in ("bps_overall", "oracle_bps_overall", "fraction_of_oracle"):
            assert several[key] == pytest.approx(one[key], abs=1e-12)
    # What the run itself computed on two processes.
    assert one["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=1e-12)
    assert one["fraction_of_oracle"] == pytest.approx(result["fraction_of_oracle"], abs=1e-12)


@pytest.mark.usefixtures("one_thread")
def test_an_error_on_the_ranks_is_the_error_of_the_command(tiny_data, tmp_path, monkeypatch) -> None:
    from vctrain.errors import VctrainError

    chosen = settings(tiny_data, {"trainer.devices": 2, "data.batch_clips": 3})
    with pytest.raises(VctrainError, match="batch_clips 3") as caught:
        fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert caught.value.code == 2
    assert "2" in caught.value.hint
    assert "4" in caught.value.hint
    assert not (tmp_path / "run").exists()
