"""What is loaded is loaded, what is frozen stays bit for bit, and what matches nothing is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from made_sessions import SIMULATION, settings

from vctrain.config.schema import Settings
from vctrain.data.simulation import simulate
from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.evaluate import evaluate
from vctrain.training import fit
from vctrain.training.beginning import before_first_step
from vctrain.training.prepare import prepare

NEW = "SimA_2024-01-03"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sessions of the tiny run and one more."""
    folder = tmp_path_factory.mktemp("three") / "sessions"
    simulate(folder, SIMULATION.model_copy(update={"sessions": 3}))
    return folder / "dataset.yaml"


def tuned(data: Path, checkpoint: Path, **start: Any) -> Settings:
    model = start.pop("model", None)
    flags = {f"start.{key}": value for key, value in start.items()} | ({} if model is None else {"model": model})
    changes = {"start.checkpoint": str(checkpoint), "trainer.max_epochs": 1, "data.batch_clips": 6, **flags}
    return settings(data, changes)


def weights(path: Path | str) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name.removeprefix("twin."): value for name, value in state.items()}


def test_a01_vision_is_loaded_and_stays_frozen_bit_for_bit(three, tiny_run, tmp_path) -> None:
    """The earlier system froze random vision: none of its keys matched, and nothing said so."""
    base = tiny_run.checkpoints / "best.ckpt"
    result = fit.train(
        tuned(three, base, load="vision", freeze_vision=True), run_dir=tmp_path / "run", provenance={}, argv=[]
    )
    old, new = weights(base), weights(result["checkpoint"])
    vision = [n for n in old if n.startswith(("frontend.", "convnet.", "adapters."))]
    assert result["vision"] == {
        "loaded": len(vision), "changed": len(vision), "frozen": len(vision), "unchanged_at_end": True
    }  # fmt: skip
    assert all(torch.equal(old[name], new[name]) for name in vision)
    start = prepare(tuned(three, base, load="vision", freeze_vision=True), 1).twin.state_dict()
    added = [name for name in new if name.startswith("adapters.2.")]
    assert added
    assert any(not torch.equal(start[name], new[name]) for name in added), "the adapter of a new session learns"
    assert any(not torch.equal(old[n], new[n]) for n in old if n.startswith("modulator."))
    assert evaluate(result["checkpoint"])["bps_overall"] == pytest.approx(result["val_bps_overall"], abs=1e-12)


def test_frozen_parts_are_in_eval_mode_and_absent_from_the_optimizer(three, tiny_run) -> None:
    prepared = prepare(tuned(three, tiny_run.folder, freeze=("core",)), 1)
    twin, begun = prepared.twin, prepared.started
    assert begun is not None
    core = {name for name, _ in twin.named_parameters() if not name.startswith(("adapters.", "readouts."))}
    assert core <= set(begun.frozen)
    assert not any(module.training for part in twin.core for module in part.modules())
    assert twin.readouts[0].training
    assert all(parameter.requires_grad == (name not in core) for name, parameter in twin.named_parameters()
               if not name.endswith(("encoder.mean", "encoder.scale")))  # fmt: skip


def test_all_of_a_checkpoint_predicts_as_it_did_before_the_first_step(tiny_run) -> None:
    """Also a grid that was taken from the sessions stays what it was."""
    base = tiny_run.checkpoints / "best.ckpt"
    begun = prepare(tuned(tiny_run.settings.data.path, base), 1).started
    assert begun is not None
    report = begun.report()
    assert (report["loaded"], report["fresh"]) == (report["of"], [])
    state = begun.twin.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights(base).items())


def test_a20_what_was_loaded_is_not_initialised_again(three, tiny_run, tmp_path) -> None:
    """Biases from rates, positions from maps: only for the session that is new."""
    base = tiny_run.checkpoints / "best.ckpt"
    chosen = tuned(three, base)
    prepared = prepare(chosen, 1)
    before = {name: value.clone() for name, value in prepared.twin.state_dict().items()}
    before_first_step(chosen, prepared, _created(tmp_path, chosen))
    after = prepared.twin.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed
    assert {name.split(".")[1] for name in changed} == {"2"}
    assert all(name.startswith("readouts.") for name in changed)


def _created(folder: Path, chosen: Settings) -> Path:
    from vctrain.runs.directory import create_run_dir

    return create_run_dir(folder / "run", chosen, {}, [])


def test_another_modulator_behind_the_same_vision(tiny_run, tiny_data, tmp_path) -> None:
    model = {**tiny_run.settings.model.model_dump(), "modulator": {"type": "concat", "dims": [4]}}
    chosen = tuned(tiny_data, tiny_run.folder, model=model, load="vision", freeze_vision=True)
    chosen = chosen.model_copy(update={"start": chosen.start.model_copy(update={"model": "settings"})})
    result = fit.train(chosen, run_dir=tmp_path / "run", provenance={}, argv=[])
    assert result["vision"]["loaded"] == result["vision"]["frozen"] > 0


def test_units_that_changed_are_named_and_their_readout_refitted(tiny_run, tmp_path) -> None:
    data = Path(tiny_run.settings.data.path)
    other = tmp_path / "other.yaml"
    content = yaml.safe_load(data.read_text())
    changed = {**content, "session_dir": str(tmp_path / "s"), "data_root": str(data.parent)}
    other.write_text(yaml.safe_dump(changed, sort_keys=False))
    (tmp_path / "s").mkdir()
    for name in content["sessions"]:
        child = yaml.safe_load((data.parent / content["session_dir"] / f"{name}.yaml").read_text())
        cids = [0, 2, 3] if name.startswith("SimA") else [0, 1, 2, 3]
        (tmp_path / "s" / f"{name}.yaml").write_text(yaml.safe_dump({**child, "cids": cids}))
    with pytest.raises(ContractError, match=r"session SimA_2024-01-01: checkpoint has 4 units, data has 3 .*cids 1\b"):
        prepare(tuned(other, tiny_run.folder), 1)
    begun = prepare(tuned(other, tiny_run.folder, refit_readout=("SimA_2024-01-01",)), 1).started
    assert begun is not None
    old, new = weights(tiny_run.checkpoints / "best.ckpt"), begun.twin.state_dict()
    assert torch.equal(new["readouts.0.features"], old["readouts.0.features"][[0, 2, 3]])
    assert torch.equal(new["readouts.1.features"], old["readouts.1.features"])


@pytest.mark.parametrize(
    ("start", "kind", "message"),
    [
        ({"freeze": ("cor",)}, UsageError, "--freeze cor: no parameter matches"),
        ({"freeze": ("core", "adapters", "readouts")}, UsageError, "everything is frozen"),
        ({"add_sessions": ("SimC_2024-01-09",)}, UsageError, "--add-session SimC_2024-01-09"),
        ({"add_sessions": ("SimA_2024-01-01",)}, UsageError, "has it already"),
        ({"refit_readout": (NEW,)}, UsageError, f"--refit-readout {NEW}"),
    ],
)
def test_names_and_patterns_that_match_nothing_are_refused(three, tiny_run, start, kind, message) -> None:
    with pytest.raises(kind, match=message) as caught:
        prepare(tuned(three, tiny_run.folder, **start), 1)
    assert caught.value.hint


def test_vision_of_another_shape_is_refused_by_the_name_of_the_tensor(three, tiny_run) -> None:
    model = tiny_run.settings.model.model_dump()
    model["frontend"]["num_channels"] = 3
    chosen = tuned(three, tiny_run.folder, model=model, load="vision")
    chosen = chosen.model_copy(update={"start": chosen.start.model_copy(update={"model": "settings"})})
    with pytest.raises(ContractError, match=r"frontend\.kernel\.raw is \(2, 1, 6\) there, \(3, 1, 6\) here"):
        prepare(chosen, 1)


def test_only_the_sessions_asked_for_join(three, tiny_run) -> None:
    assert [s.name for s in prepare(tuned(three, tiny_run.folder, add_sessions=(NEW,)), 1).sessions][-1] == NEW
    everything = prepare(tuned(three, tiny_run.folder), 1)
    assert [session.index for session in everything.sessions] == [0, 1, 2]
