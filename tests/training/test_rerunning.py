"""Does a run trained again give the same digits, and is it told when it is not on the same recordings and base?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from made_sessions import SIMULATION

from vctrain.data.simulation import simulate
from vctrain.errors import ContractError, UsageError
from vctrain.training import fit
from vctrain.training.rerunning import Again, changed_sessions, rerun


def again(run: Path, new: Path, *, allow: bool = False, **where: str) -> dict[str, object]:
    return rerun(Again.of(run, **where), run_dir=new, allow_changed_data=allow, argv=["vctrain", "rerun", str(run)])


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return found


@pytest.fixture
def other_recordings(tmp_path) -> str:
    """Of the same sessions and units, with other spikes."""
    simulate(tmp_path / "other", SIMULATION.model_copy(update={"seed": 6}))
    return str(tmp_path / "other" / "dataset.yaml")


@pytest.fixture
def copied(tiny_run, tmp_path) -> Path:
    """A copy of the run whose records tests may change."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "first"))


def test_the_same_machine_gives_the_same_digits(tiny_run, tmp_path) -> None:
    result = again(tiny_run.folder, tmp_path / "again")
    assert result["same_digits"] is True
    assert not any("config.yaml" in line for line in result["differences"])  # type: ignore[attr-defined]
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == (tiny_run.folder / "metrics.csv").read_bytes()
    first, second = weights(tiny_run.folder), weights(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "again" / "config.yaml").read_text() == (tiny_run.folder / "config.yaml").read_text()


def test_other_digits_are_told(copied, tmp_path) -> None:
    metrics = copied / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.", "1.", 1))
    assert again(copied, tmp_path / "again")["same_digits"] is False


def test_what_differs_from_the_record_is_said(copied, tmp_path, capfd) -> None:
    record = json.loads((copied / "run.json").read_text())
    record["versions"]["torch"] = "2.0.0"
    (copied / "run.json").write_text(json.dumps(record))
    result = again(copied, tmp_path / "again")
    assert any("instead of 2.0.0" in line for line in result["differences"])  # type: ignore[attr-defined]
    assert "instead of 2.0.0" in capfd.readouterr().err


def test_other_recordings_are_refused_before_anything_is_created(tiny_run, tmp_path, other_recordings) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(ContractError, match="another one, fingerprint") as caught:
        again(tiny_run.folder, tmp_path / "again", data=other_recordings)
    assert "--allow-changed-data" in caught.value.hint
    assert set(tmp_path.iterdir()) == before
    result = again(tiny_run.folder, tmp_path / "again", data=other_recordings, allow=True)
    assert result["same_digits"] is False
    assert any("fingerprint" in line for line in result["differences"])  # type: ignore[attr-defined]


def test_the_same_recordings_elsewhere_are_the_same(tiny_run, tiny_data, tmp_path) -> None:
    shutil.copytree(tiny_data.parent, tmp_path / "moved")
    assert again(tiny_run.folder, tmp_path / "again", data=str(tmp_path / "moved" / tiny_data.name))["same_digits"]


def test_a_unit_or_session_that_went_is_a_difference(tiny_run) -> None:
    from vctrain.config.datasets import load_dataset_configs
    from vctrain.training.prepare import open_sessions

    stored = json.loads((tiny_run.folder / "contract.json").read_text())["sessions"]
    assert tiny_run.settings.data.path is not None
    sessions = open_sessions(load_dataset_configs(tiny_run.settings.data.path), 5)
    assert "is new in the data" in " ".join(changed_sessions(stored[:1], sessions))
    assert "not in the data any more" in " ".join(changed_sessions(stored, sessions[:1]))
    stored[0]["cids"] = stored[0]["cids"][:-1]
    assert any("cids" in line for line in changed_sessions(stored, sessions))


def test_an_edited_config_is_said(copied, tmp_path) -> None:
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("weight_decay: 0.0001", "weight_decay: 0.5"))
    result = again(copied, tmp_path / "again")
    assert result["same_digits"] is False
    said = [line for line in result["differences"] if "config.yaml" in line]  # type: ignore[attr-defined]
    assert said == ["config.yaml has optim.weight_decay 0.5, the best checkpoint 0.0001"]


def test_a_base_for_a_run_that_has_none_is_refused(tiny_run, tmp_path) -> None:
    with pytest.raises(UsageError, match="began from no checkpoint"):
        again(tiny_run.folder, tmp_path / "again", checkpoint="x.ckpt")


def test_a_damaged_contract_is_named(copied, tmp_path) -> None:
    (copied / "contract.json").write_text("{")
    with pytest.raises(ContractError, match=r"contract\.json cannot be read"):
        again(copied, tmp_path / "again")


def test_a_fine_tuned_run_needs_its_base_and_that_very_one(tiny_run, tmp_path) -> None:
    base = tmp_path / "base.ckpt"
    shutil.copy(tiny_run.checkpoints / "best.ckpt", base)
    start = tiny_run.settings.start.model_copy(update={"checkpoint": str(base), "freeze_vision": True})
    trainer = tiny_run.settings.trainer.model_copy(update={"max_epochs": 1})
    tuned = tiny_run.settings.model_copy(update={"start": start, "trainer": trainer})
    fit.train(tuned, run_dir=tmp_path / "tuned", provenance={}, argv=["vctrain"])
    assert again(tmp_path / "tuned", tmp_path / "same")["same_digits"] is True

    base.rename(tmp_path / "moved.ckpt")
    with pytest.raises(ContractError, match=r"began from .*base\.ckpt, which is not there") as caught:
        again(tmp_path / "tuned", tmp_path / "none")
    assert "--checkpoint" in caught.value.hint
    moved = again(tmp_path / "tuned", tmp_path / "from_moved", checkpoint=str(tmp_path / "moved.ckpt"))
    assert moved["same_digits"] is True

    content = torch.load(tmp_path / "moved.ckpt", weights_only=True)
    name = next(name for name, tensor in content["state_dict"].items() if tensor.is_floating_point())
    content["state_dict"][name] += 0.5
    torch.save(content, base)
    with pytest.raises(ContractError, match="other weights than when the run began"):
        again(tmp_path / "tuned", tmp_path / "none")
    assert not (tmp_path / "none").exists()
