"""Is a checkpoint or run described by what is in it, and what is unsound named?"""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch

from vctrain.errors import ContractError
from vctrain.evaluation.inspection import changed_settings, inspect_checkpoint, inspect_run
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.training.plan import describe


def whats(findings) -> list[str]:
    return [problem.what for problem in findings.problems]


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the shared run, to be spoilt."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


def change_run(run: Path, **fields) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_checkpoint(run: Path, change, name: str = "best.ckpt") -> Path:
    path = run / "checkpoints" / name
    content = torch.load(path, weights_only=True)
    change(content)
    path.unlink()
    torch.save(content, path)
    return path


def test_a_sound_checkpoint(tiny_run):
    facts, findings = inspect_checkpoint(tiny_run.checkpoints / "best.ckpt")
    assert (findings.problems, findings.notes) == ([], [])
    checkpoint = read_checkpoint(tiny_run.folder)
    assert [s["name"] for s in facts["sessions"]] == [s["name"] for s in checkpoint.sessions]
    assert facts["sessions"][1]["cids"] == [0, 1, 2, 3]
    assert facts["best_score"] == pytest.approx(tiny_run.result["val_bps_overall"])
    assert (facts["resumable"], facts["context"]) == (True, checkpoint.build().context)
    assert facts["step"] in (6, 12, 18)


def test_parameters_are_those_that_training_learns(tiny_run):
    facts, _ = inspect_checkpoint(tiny_run.folder)
    learned = [p.numel() for p in read_checkpoint(tiny_run.folder).build().parameters() if p.requires_grad]
    parameters = facts["parameters"]
    assert parameters["total"] == sum(learned) == sum(part["parameters"] for part in parameters["parts"])
    assert sum(part["tensors"] for part in parameters["parts"]) == len(learned)
    planned = describe(tiny_run.settings)["parameters"]
    assert (parameters["core"], parameters["heads"]) == (planned["core"], planned["head"])


def test_settings_that_were_changed(tiny_run):
    changed = inspect_checkpoint(tiny_run.folder)[0]["changed_settings"]
    assert changed["trainer.steps_per_epoch"] == {"value": 6, "default": 512}
    assert changed["model.frontend.kernel_size"]["value"] == 6
    assert "trainer.devices" not in changed
    assert changed == changed_settings(tiny_run.settings)


def test_a_checkpoint_without_training_state(run):
    def strip(content):
        for key in ("optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"):
            del content[key]

    facts, _ = inspect_checkpoint(change_checkpoint(run, strip))
    assert (facts["resumable"], facts["step"]) == (False, None)


def test_weights_that_are_not_finite(run):
    path = change_checkpoint(run, lambda c: c["state_dict"]["twin.readouts.1.bias"].__setitem__(2, float("nan")))
    (what,) = whats(inspect_checkpoint(path)[1])
    assert what == "1 tensor not finite (readouts.1.bias)"


def test_weights_that_do_not_fit(run):
    path = change_checkpoint(run, lambda c: c["state_dict"].pop("twin.readouts.1.bias"))
    (problem,) = inspect_checkpoint(path)[1].problems
    assert problem.blocks
    assert "missing readouts.1.bias" in problem.what


@pytest.mark.parametrize("spoil", ["truncated", "foreign"])
def test_unreadable_checkpoints_are_errors(spoil, run):
    path = run / "checkpoints" / "best.ckpt"
    whole = path.read_bytes()
    path.unlink()
    if spoil == "foreign":
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ContractError, match=r"best\.ckpt"):
        inspect_checkpoint(path)
    with pytest.raises(ContractError, match=r"best\.ckpt"):
        inspect_run(run)


def test_other_versions_are_noted(run):
    path = change_checkpoint(run, lambda c: c["vctrain"]["versions"].update(vctrain="0.0.1"))
    assert any("written by vctrain 0.0.1" in note for note in inspect_checkpoint(path)[1].notes)


def test_recordings_that_changed(run, tiny_data, tmp_path):
    data = Path(shutil.copytree(tiny_data.parent, tmp_path / "data"))

    def moved(content):
        content["vctrain"]["settings"]["data"]["path"] = str(data / "dataset.yaml")

    path = change_checkpoint(run, moved)
    assert inspect_checkpoint(path)[1].problems == []
    session = next(child.parent for child in data.rglob("gaborium.dset"))
    content = torch.load(session / "gaborium.dset", weights_only=True)
    content["covariates"]["robs"][0] += 1
    torch.save(content, session / "gaborium.dset")
    assert whats(inspect_checkpoint(path)[1]) == [f"recordings changed since the training: {session.name} gaborium"]
    shutil.rmtree(data)
    _, findings = inspect_checkpoint(path)
    assert findings.problems == []
    assert any("are not here, so they are not compared" in note for note in findings.notes)


def test_a_finished_run(tiny_run):
    facts, findings = inspect_run(tiny_run.folder)
    assert findings.problems == []
    assert (facts["state"], facts["step"], facts["steps_planned"], facts["validations"]) == ("done", 18, 18, 3)
    assert facts["best_score"] == facts["checkpoint"]["best_score"] == tiny_run.result["val_bps_overall"]
    assert facts["last_row"]["step"] == 18
    assert {each["file"] for each in facts["checkpoints"]} >= {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    ("state", "said"), [("failed", "the run failed: out"), ("interrupted", "was interrupted: out")]
)
def test_a_run_that_ended_badly(state, said, run):
    change_run(run, state=state, error="out of memory")
    assert [said in what for what in whats(inspect_run(run)[1])] == [True]


@pytest.mark.parametrize(("host", "alive", "problems"), [(None, False, 1), (None, True, 0), ("elsewhere", False, 0)])
def test_a_run_whose_process_is_gone(host, alive, problems, run):
    # process numbers end far below this one
    pid = os.getpid() if alive else 2**30
    change_run(run, state="running", host={"name": host or socket.gethostname(), "pid": pid})
    assert ["is gone" in what for what in whats(inspect_run(run)[1])] == [True] * problems


def test_a_run_before_its_first_epoch(run):
    shutil.rmtree(run / "checkpoints")
    (run / "metrics.csv").unlink()
    facts, findings = inspect_run(run)
    assert (facts["checkpoint"], facts["validations"], facts["last_row"]) == (None, 0, None)
    assert whats(findings) == ["no checkpoint yet"]


def test_figures_of_a_run(run):
    lines = (run / "metrics.csv").read_text().splitlines()
    names = lines[0].split(",")

    def row(step, loss, score):
        return ",".join({"step": str(step), "train_loss": loss, "val_bps_overall": score}.get(n, "") for n in names)

    (run / "metrics.csv").write_text(
        "\n".join([lines[0], row(6, "0.4", "0.3"), row(12, "nan", "0.2"), row(18, "", "")])
    )
    findings = inspect_run(run)[1]
    assert whats(findings) == ["train_loss is not a number in metrics.csv"]
    assert any("best val_bps_overall 0.3000 at step 6, 2 validations ago" in note for note in findings.notes)


def test_damaged_records(run):
    (run / "config.yaml").write_text("trainer: {epochs: 3}\n")
    facts, findings = inspect_run(run)
    assert facts["steps_planned"] is None
    assert [("trainer.epochs" in what) for what in whats(findings)] == [True]
    (run / "metrics.csv").write_bytes(b"step\n\xff\xfe\n")
    with pytest.raises(ContractError, match=r"metrics\.csv"):
        inspect_run(run)
    (run / "run.json").write_text("{")
    with pytest.raises(ContractError, match=r"run\.json"):
        inspect_run(run)
