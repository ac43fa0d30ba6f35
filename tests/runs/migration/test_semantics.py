"""Which old code computed is read off the checkpoint, assumed aloud, settled by rates, or refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from made_old import ACTIVE, DENSE, RESNET, active, made_twin, write_old

from vctrain.runs.checkpoints import read_checkpoint


def with_antialiasing(value: bool | None) -> dict[str, Any]:
    model = copy.deepcopy(RESNET)
    if value is not None:
        model["frontend"]["params"]["anti_aliasing"] = value
    return model


@pytest.mark.parametrize(
    ("stated", "code", "told"),
    [(True, "old-antialias", "old-antialias"), (False, "old", "old"), (None, "old", "old")],
)
def test_a_stated_antialiasing_tells(migrate: Any, tmp_path: Path, stated: bool | None, code: Any, told: str) -> None:
    made = active(tmp_path, with_antialiasing(stated), code)
    status, result = migrate(*made.arguments, "--check", made.batch)
    assert (status, result["semantics"]) == (0, told)
    assert result["check"]["max_rel"] < 1e-5


def test_what_no_tensor_shows_is_said_without_rates_and_settled_by_rates(migrate: Any, tmp_path: Path) -> None:
    made = active(tmp_path, with_antialiasing(None), "old-antialias")
    status, result = migrate(*made.arguments, "-o", tmp_path / "guessed.pt")
    assert (status, result["semantics"]) == (0, "old")
    assert any("--semantics old-antialias" in note for note in result["notes"])
    status, result = migrate(*made.arguments, "-o", tmp_path / "settled.pt", "--check", made.batch)
    assert (status, result["semantics"]) == (0, "old-antialias")
    assert any("settle" in note for note in result["notes"])
    status, result = migrate(*made.arguments, "-o", tmp_path / "asked.pt", "--semantics", "old-antialias")
    assert (status, result["semantics"], result["notes"]) == (0, "old-antialias", [])
    with_old, with_asked = (read_checkpoint(tmp_path / f"{name}.pt").model for name in ("guessed", "asked"))
    assert (with_old.semantics, with_asked.semantics) == ("old", "old-antialias")


def test_asked_semantics_that_predict_otherwise_are_refused(migrate: Any, tmp_path: Path) -> None:
    made = active(tmp_path, with_antialiasing(None), "old-antialias")
    output = tmp_path / "new.pt"
    named = [*made.arguments, "-o", output, "--semantics", "old", "--check", made.batch]
    status, result = migrate(*named)
    assert status == 3
    assert "with semantics old" in result["error"]["message"]
    assert not output.exists()
    assert not list(tmp_path.glob(".*.part"))
    status, result = migrate(*named, "--tolerance", "1e9")
    assert (status, result["semantics"]) == (0, "old")


@pytest.mark.parametrize("semantics", ["old", "head"])
def test_without_a_trace_it_is_refused_until_rates_or_the_user_say(
    migrate: Any, tmp_path: Path, semantics: Any
) -> None:
    made = active(tmp_path, DENSE, semantics)
    status, result = migrate(*made.arguments, "-o", tmp_path / "a.pt")
    assert status == 3
    assert "aablur" in result["error"]["message"]
    assert "--semantics" in result["error"]["hint"]
    assert "--check" in result["error"]["hint"]
    status, result = migrate(*made.arguments, "-o", tmp_path / "b.pt", "--check", made.batch)
    assert (status, result["semantics"]) == (0, semantics)
    status, result = migrate(*made.arguments, "-o", tmp_path / "c.pt", "--semantics", semantics)
    assert (status, result["semantics"]) == (0, semantics)


def test_weights_alone_need_their_semantics(migrate: Any, tmp_path: Path) -> None:
    made = active(tmp_path, DENSE)
    state = torch.load(made.checkpoint, weights_only=False)["state_dict"]
    torch.save({name.removeprefix("model."): value for name, value in state.items()}, tmp_path / "bare.pth")
    named = ["--model-config", made.model_yaml, "--dataset-configs", made.datasets, "-o", tmp_path / "new.pt"]
    status, result = migrate(tmp_path / "bare.pth", *named)
    assert (status, "--semantics" in result["error"]["hint"]) == (3, True)
    status, result = migrate(tmp_path / "bare.pth", *named, "--semantics", "old", "--check", made.batch)
    assert (status, result["generation"]) == (0, "weights alone")


def test_traces_of_both_codes_are_refused(migrate: Any, tmp_path: Path) -> None:
    made = active(tmp_path)
    content = torch.load(made.checkpoint, weights_only=False)
    content["state_dict"]["model.convnet.layers.0.shortcut.weight"] = torch.zeros(1)
    torch.save(content, made.checkpoint)
    status, result = migrate(*made.arguments)
    assert status == 3
    assert "2025-10-14" in result["error"]["message"]


def test_gains_of_rms_norms_date_a_checkpoint(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(RESNET, "old-antialias", rms_affine=True)
    made = write_old(tmp_path, twin, RESNET, ACTIVE)
    status, result = migrate(*made.arguments, "--check", made.batch)
    assert (status, result["semantics"]) == (0, "old-antialias")
    assert read_checkpoint(Path(result["output"])).model.rms_affine is True
