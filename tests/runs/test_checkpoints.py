"""A checkpoint is complete in itself, and what is not one is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions
from vctrain.errors import ContractError
from vctrain.models.twin import Twin
from vctrain.runs.checkpoints import find_checkpoint, read_checkpoint


@pytest.fixture
def saved(tiny_run, tmp_path: Path) -> Path:
    """A copy of the best checkpoint, alone in a folder."""
    return Path(shutil.copy(tiny_run.checkpoints / "best.ckpt", tmp_path / "alone.ckpt"))


def rewrite(path: Path, change: Any) -> Path:
    raw = torch.load(path, map_location="cpu", weights_only=True)
    change(raw)
    torch.save(raw, path)
    return path


def test_every_file_loads_with_weights_only(tiny_run) -> None:
    files = sorted(tiny_run.checkpoints.glob("*.ckpt"))
    assert len(files) >= 3
    for file in files:
        raw = torch.load(file, map_location="cpu", weights_only=True)
        assert {"state_dict", "optimizer_states", "lr_schedulers", "global_step", "vctrain"} <= set(raw)


def test_the_file_describes_itself(tiny_run, saved: Path) -> None:
    stored = read_checkpoint(saved)
    assert stored.settings == tiny_run.settings
    assert stored.model == tiny_run.settings.model
    for session in stored.sessions:
        wanted = {"name", "subject", "cids", "types", "rate_hz", "transforms", "filters", "split", "fingerprint"}
        assert wanted <= set(session)
        assert session["cids"] == [0, 1, 2, 3]
        assert session["types"] == ["gaborium", "backimage"]
        assert session["rate_hz"] == 60.0
    assert [s["subject"] for s in stored.sessions] == ["SimA", "SimB"]
    assert set(stored.content["versions"]) >= {"vctrain", "torch"}


def test_a_twin_built_from_the_file_alone_predicts_the_same(tiny_run, saved: Path) -> None:
    """The same weights put into a twin that was built from the recordings, as training builds it."""
    stored = read_checkpoint(saved)
    data = tiny_run.settings.data
    specs = load_dataset_configs(data.path, data_root=None, types=None, max_datasets=None)
    sessions = open_sessions(specs, int(stored.content["context"]))
    trained = Twin(tiny_run.settings.model, sessions)
    trained.load_state_dict(stored.weights)
    rebuilt = stored.build()
    assert not rebuilt.training
    assert rebuilt.names == tuple(session.name for session in sessions)
    clips = [s.gather(s.segments("val")[:2, 0] + s.context, frames=20) for s in sessions]
    with torch.no_grad():
        for ours, theirs in zip(rebuilt(clips), trained.eval()(clips), strict=True):
            assert torch.equal(ours, theirs)
            assert ours.std() > 0


def test_every_tensor_of_the_file_is_in_the_twin(saved: Path) -> None:
    raw = torch.load(saved, map_location="cpu", weights_only=True)
    state = read_checkpoint(saved).build().state_dict()
    assert {f"twin.{name}" for name in state} == set(raw["state_dict"])
    assert all(torch.equal(state[name.removeprefix("twin.")], value) for name, value in raw["state_dict"].items())


@pytest.mark.parametrize("name", ["readouts.1.features", "frontend.kernel.raw"])
def test_tensors_that_do_not_fit_are_named(saved: Path, name: str) -> None:
    value = read_checkpoint(saved).weights[name]
    cases = {
        f"missing {name}": lambda raw: raw["state_dict"].pop(f"twin.{name}"),
        "unknown extra": lambda raw: raw["state_dict"].update({"twin.extra": torch.zeros(1)}),
        f"{name} is (7,)": lambda raw: raw["state_dict"].update({f"twin.{name}": torch.zeros(7)}),
    }
    for message, change in cases.items():
        copy = Path(shutil.copy(saved, saved.with_name("changed.ckpt")))
        with pytest.raises(ContractError) as caught:
            read_checkpoint(rewrite(copy, change)).build()
        assert message in caught.value.message
        assert str(copy) in caught.value.message
    assert tuple(value.shape) != (7,)


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_a_contract_error(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ContractError, match=r"alone\.ckpt") as caught:
        read_checkpoint(saved)
    assert "\n" not in caught.value.message


def _entry(**changes: Any) -> Any:
    return lambda raw: raw["vctrain"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("vctrain"),
        lambda raw: raw.pop("state_dict"),
        _entry(format=99),
        _entry(model={"type": "unheard of"}),
        _entry(settings={"optim": {"lr": -1}}),
        lambda raw: raw["vctrain"].pop("model"),
        lambda raw: raw["vctrain"].pop("sessions"),
    ],
    ids=["no entry", "no weights", "other format", "other model", "bad settings", "no model", "no sessions"],
)
def test_what_is_not_our_checkpoint_is_a_contract_error(saved: Path, change: Any) -> None:
    rewrite(saved, change)
    with pytest.raises(ContractError, match=r"alone\.ckpt"):
        read_checkpoint(saved)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, torch.zeros(3)], ids=["list", "foreign", "tensor"])
def test_foreign_files_are_contract_errors(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save(content, path)
    with pytest.raises(ContractError, match=r"foreign\.ckpt"):
        read_checkpoint(path)


def test_a_file_that_asks_to_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"vctrain": Runs(), "state_dict": {}}, tmp_path / "code.ckpt")
    with pytest.raises(ContractError, match=r"code\.ckpt"):
        read_checkpoint(tmp_path / "code.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_run_directory_stands_for_its_best_checkpoint(tiny_run, tmp_path: Path) -> None:
    assert find_checkpoint(tiny_run.folder) == tiny_run.checkpoints / "best.ckpt"
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ContractError, match=r"best\.ckpt"):
        find_checkpoint(tmp_path)
    last = Path(shutil.copy(tiny_run.checkpoints / "last.ckpt", tmp_path / "checkpoints" / "last.ckpt"))
    assert find_checkpoint(tmp_path) == last
    with pytest.raises(ContractError, match="nowhere"):
        find_checkpoint(tmp_path / "nowhere")


def test_best_is_the_best_and_last_is_the_last(tiny_run) -> None:
    def read(name: str) -> dict[str, Any]:
        return torch.load(tiny_run.checkpoints / name, map_location="cpu", weights_only=True)

    best, last = read("best.ckpt"), read("last.ckpt")
    assert best["vctrain"]["val_bps_overall"] == tiny_run.result["val_bps_overall"]
    assert last["global_step"] == tiny_run.result["steps"]
    numbered = [read(path.name) for path in tiny_run.checkpoints.glob("epoch=*.ckpt")]
    assert max(raw["vctrain"]["val_bps_overall"] for raw in numbered) == best["vctrain"]["val_bps_overall"]
