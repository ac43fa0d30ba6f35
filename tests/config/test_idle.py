"""A setting that was asked for and would touch nothing is an error; one that came with a preset is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vctrain.config.idle import _RULES, refuse_idle
from vctrain.config.resolve import resolve
from vctrain.errors import UsageError

IDLE = {
    "optim.decay_epochs": 3,
    "optim.decay_factor": 0.3,
    "optim.plateau_patience": 1,
    "optim.restart_epochs": 2,
    "trainer.min_delta": 0.1,
    "simulation.units": 5,
}
WITH = {
    "optim.decay_epochs": ["optim.schedule=step"],
    "optim.decay_factor": ["optim.schedule=plateau"],
    "optim.plateau_patience": ["optim.schedule=plateau"],
    "optim.restart_epochs": ["optim.schedule=cosine_warmup_restart"],
    "trainer.min_delta": ["trainer.patience=3"],
    "simulation.units": [],
}


@pytest.mark.parametrize("path", IDLE)
def test_it_is_refused_where_it_touches_nothing_and_taken_where_it_does(path: str) -> None:
    # the recipe stops early
    sets = ["trainer.patience=null", f"{path}={IDLE[path]}"]
    flags = {"data.path": "somewhere"} if path.startswith("simulation") else {}
    idle = resolve("gaborium", [], sets, flags)
    with pytest.raises(UsageError, match=rf"--set: {path} has no effect") as caught:
        refuse_idle(idle.settings, idle.provenance)
    assert caught.value.code == 2
    used = resolve("gaborium", [], [*sets, *WITH[path]])
    refuse_idle(used.settings, used.provenance)


def test_other_rules() -> None:
    flat = resolve("gaborium", [], ["optim.schedule=none", "optim.final_lr_fraction=0.1"])
    with pytest.raises(UsageError, match="final_lr_fraction"):
        refuse_idle(flat.settings, flat.provenance)
    no_maps = ["init.readout_positions=center", "init.kernels=config", "init.map_minutes=2"]
    plain = resolve("gaborium", [], no_maps)
    with pytest.raises(UsageError, match="map_minutes"):
        refuse_idle(plain.settings, plain.provenance)


def test_files_and_presets_may_hold_more_than_one_run_needs(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("optim: {decay_epochs: 4}\nsimulation: {units: 4}\n")
    found = resolve("gaborium", [tmp_path / "mine.yaml"], [], {"data.path": "somewhere"})
    refuse_idle(found.settings, found.provenance)
    assert found.settings.optim.decay_epochs == 4
    # the very same settings, asked for on the command line
    asked = {**found.provenance, "optim.decay_epochs": "--set"}
    with pytest.raises(UsageError, match=r"optim\.decay_epochs has no effect"):
        refuse_idle(found.settings, asked)


def test_every_rule_names_a_setting_that_exists() -> None:
    known = resolve("gaborium").provenance
    for setting, _, _ in _RULES:
        assert any(path == setting or path.startswith(f"{setting}.") for path in known), setting
