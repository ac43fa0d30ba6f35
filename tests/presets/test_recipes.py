"""Every preset trains: its own settings and, at an eighth of its width, its own model, on simulated sessions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from models.narrow import narrowed

from vctrain import presets
from vctrain.config.model import ModelConfig
from vctrain.config.resolve import resolve
from vctrain.config.schema import Settings
from vctrain.errors import UsageError
from vctrain.training import fit
from vctrain.training.prepare import prepare

LEGACY = ("all", "gaborium", "backimage", "cones", "pretraining", "120_long", "240", "history", "frozencore_readouts")
SHORT = {
    "trainer.max_epochs": 1,
    "trainer.steps_per_epoch": 2,
    "trainer.precision": "32-true",
    "trainer.accelerator": "cpu",
    "trainer.accumulate": 1,
    "data.batch_clips": 2,
    "data.clip_frames": 8,
    "init.map_minutes": 0.1,
}


def shortened(name: str, data: Path, **more: object) -> Settings:
    """A preset at its own settings but for length, width and precision, on the simulated sessions."""
    model = ModelConfig.model_validate(narrowed(resolve(name).settings.model.model_dump(mode="json"), 8))
    if model.adapter.type != "none":
        model = model.model_copy(update={"adapter": model.adapter.model_copy(update={"grid_size": 27})})
    flags = {"data.path": str(data), "data.types": ["gaborium", "backimage"], **SHORT, **more}
    return resolve(name, [], [], flags).settings.model_copy(update={"model": model})


def test_the_recipes_of_the_earlier_systems_are_all_there() -> None:
    assert set(LEGACY) <= set(presets.names())


@pytest.mark.parametrize("name", [name for name in presets.names() if name != "frozencore_readouts"])
def test_a_preset_trains(name: str, tiny_data: Path, tmp_path: Path) -> None:
    chosen = shortened(name, tiny_data, **({"data.settle_seconds": 0.0} if name == "checkerboard" else {}))
    result = fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["steps"] == 2
    weights = torch.load(result["checkpoint"], weights_only=True)["state_dict"]
    assert all(bool(value.isfinite().all()) for value in weights.values())


def test_a_recipe_trains_in_its_own_precision(tiny_data: Path, tmp_path: Path) -> None:
    """The recurrent stage too, in bfloat16."""
    chosen = shortened("gaborium", tiny_data, **{"trainer.precision": resolve("gaborium").settings.trainer.precision})
    assert chosen.trainer.precision == "bf16-mixed"
    assert fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])["steps"] == 2


def test_readouts_on_a_frozen_core_need_a_core(tiny_data: Path, tiny_run, tmp_path: Path) -> None:
    """Frozen without a checkpoint, the core would be random (defect A1)."""
    with pytest.raises(UsageError, match=r"start\.freeze is set, but no checkpoint"):
        prepare(shortened("frozencore_readouts", tiny_data), 1)
    chosen = shortened("frozencore_readouts", tiny_data, **{"start.checkpoint": str(tiny_run.folder)})
    result = fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["tensors"]["frozen"] > 0


@pytest.mark.parametrize("name", presets.names())
def test_every_key_is_a_setting_and_the_recipe_says_where_it_comes_from(name: str) -> None:
    text = presets.find(name).read_text()
    assert yaml.safe_load(text)["description"]
    if name in LEGACY and name not in ("gaborium", "backimage"):
        assert "# Legacy name: " in text
        assert "# Corrected: " in text
    optim = resolve(name).settings.optim
    trainer = resolve(name).settings.trainer
    assert optim.warmup_steps < trainer.max_epochs * trainer.steps_per_epoch
