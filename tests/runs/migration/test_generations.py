"""Each system's way of storing a model is recognised: prefixes, hyperparameters, frozen cores, optimizers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_old import (
    ACTIVE,
    LAGS,
    RESNET,
    UNITS,
    active,
    adamw,
    dataset,
    foreign_module,
    in_order,
    made_twin,
    old_names,
    write_old,
)

from vctrain.runs.checkpoints import read_checkpoint

HEAD: dict[str, Any] = {
    "model_type": "v1multi",
    "initial_input_channels": 1,
    "adapter": {"type": "adapter", "params": {"grid_size": 13}},
    "frontend": {
        "type": "learnable_temporal",
        "params": {"kernel_size": 5, "num_channels": 2, "aa_signal": True, "aa_window_kwargs": {"power": 0.25}},
    },
    "convnet": {
        "type": "resnet",
        "params": {
            "channels": [4],
            "stem_config": {
                "out_channels": 2,
                "conv_params": {"kernel_size": [1, 3, 3], "use_weight_norm": True, "keep_unit_norm": True},
                "norm_type": "rms",
                "act_type": "splitrelu",
                "order": ["pad", "conv", "norm", "act"],
            },
            "block_configs": [
                {
                    "conv_params": {"kernel_size": [3, 5, 5], "aa_signal": True, "use_weight_norm": True},
                    "norm_type": "grn",
                    "act_type": "splitrelu",
                }
            ],
        },
    },
    "modulator": {"type": "concat", "params": {"behavior_dim": 3}},
    "recurrent": {"type": "convgru", "params": {"hidden_dim": 3}},
    "readout": {"type": "gaussian", "params": {"initial_std": 2.0}},
    "output_activation": "softplus",
}
NEWEST = {**ACTIVE, "cfg_dir": "configs/parent.yaml", "restart_period": None}


def with_dead_originals(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The kernels that weight norm left behind, where the newest code stored them."""
    found = {}
    for name, tensor in state.items():
        if name.endswith("weight.0.v"):
            found[name.removesuffix("0.v") + "original"] = tensor + 1
        found[name] = tensor
    return found


@pytest.mark.parametrize("prefix", ["model.", "model._orig_mod.", "_orig_mod.model.", "module.model.", ""])
def test_prefixes_are_stripped(migrate: Any, tmp_path: Path, prefix: str) -> None:
    twin = made_twin(RESNET, "old")
    made = write_old(tmp_path, twin, RESNET, ACTIVE, state=old_names(twin, prefix))
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0, result
    assert result["generation"] == "MultiDatasetModel 2025-10" + (" compiled" if "_orig_mod" in prefix else "")
    assert result["check"]["max_rel"] < 1e-6


def test_what_the_training_module_adds_is_dropped_aloud(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(RESNET, "old")
    state = {**old_names(twin), "val_metric.total": torch.zeros(1), "model.convnet_extra.x": torch.zeros(1)}
    made = write_old(tmp_path, twin, RESNET, ACTIVE, state=state)
    code, result = migrate(*made.arguments)
    assert code == 0
    assert set(result["dropped"]) == {"val_metric.total", "model.convnet_extra.x"}


def test_the_newest_snapshot_holds_its_model(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(HEAD, "head")
    state = with_dead_originals(old_names(twin))
    made = write_old(tmp_path, twin, {"model_type": "v1"}, {**NEWEST, "model_config_dict": HEAD}, state=state)
    made = in_order(made, list(UNITS))
    code, result = migrate(made.checkpoint, "--dataset-configs", made.datasets, "--check", made.batch)
    assert code == 0, result
    assert (result["generation"], result["semantics"]) == ("MultiDatasetModel newest", "head")
    assert all("weight norm" in why for why in result["dropped"].values())
    assert len(result["dropped"]) == 2


def test_another_model_config_than_the_checkpoints_own_is_noted(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(HEAD, "head")
    other = copy.deepcopy(HEAD)
    other["convnet"]["params"]["channels"] = [9]
    made = write_old(
        tmp_path, twin, other, {**NEWEST, "model_config_dict": HEAD}, state=with_dead_originals(old_names(twin))
    )
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0
    assert any("convnet.params.channels" in note for note in result["notes"])


def history_model() -> dict[str, Any]:
    model = copy.deepcopy(HEAD)
    model["model_type"] = "v1multi_history"
    model["history_encoder"] = {"type": "mlp", "params": {"num_lags": 3, "hidden_dims": [4]}}
    return model


def test_spike_history_is_read_from_the_batch(migrate: Any, tmp_path: Path) -> None:
    model = history_model()
    twin = made_twin(model, "head")
    made = write_old(
        tmp_path, twin, model, {**NEWEST, "model_config_dict": model}, state=with_dead_originals(old_names(twin))
    )
    assert "history_1" in np.load(made.batch).files
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0, result
    assert read_checkpoint(Path(result["output"])).build().history_frames == 3


@pytest.mark.parametrize("kind", ["class", "function"])
def test_modules_of_several_sessions_hold_everything(
    migrate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    old = foreign_module(monkeypatch)
    twin = made_twin(RESNET, "old")
    hyper = {
        "model_class": old.MultiDatasetV1Model if kind == "class" else old.build_model,
        "model_config": RESNET,
        "dataset_configs": [{**dataset(name, cids), "_weight": 1.0} for name, cids in UNITS.items()],
        "optim_kwargs": {"lr": 2e-3, "weight_decay": 1e-4},
        "dataset_info": {"names": list(UNITS)},
    }
    made = write_old(tmp_path, twin, RESNET, hyper)
    code, result = migrate(made.checkpoint, "--check", made.batch)
    assert code == 0, result
    assert result["generation"] == "MultiDatasetPLCore"
    assert any(f"DataYatesV1.models.{hyper['model_class'].__name__}" in note for note in result["notes"])
    stored = read_checkpoint(Path(result["output"]))
    assert [session["cids"] for session in stored.sessions] == [list(cids) for cids in UNITS.values()]
    assert (stored.settings.optim.lr, stored.settings.optim.core_lr_scale) == (2e-3, 1.0)


def test_a_module_of_one_session_with_its_model_given_as_an_object(migrate: Any, tmp_path: Path) -> None:
    """Then neither class nor config were stored."""
    one = dict(list(UNITS.items())[:1])
    model = {**RESNET, "model_type": "v1"}
    twin = made_twin(model, "old", one)
    hyper = {"model_class": None, "model_config": None, "optim_kwargs": {}, "cids": np.array([0, 2, 5])}
    made = write_old(tmp_path, twin, model, hyper, state=old_names(twin, single=True), units=one)
    assert "model.readout.bias" in torch.load(made.checkpoint, weights_only=False)["state_dict"]
    code, result = migrate(made.checkpoint, "--dataset-configs", made.datasets)
    assert (code, "--model-config" in result["error"]["hint"]) == (3, True)
    code, result = migrate(*made.arguments, "--check", made.batch)
    assert code == 0, result
    assert (result["generation"], result["sessions"]) == ("PLCoreVisionModel", {"Ada_2024-05-06": 3})


@pytest.mark.parametrize("holds_core", [True, False])
def test_new_readouts_on_a_frozen_core_are_joined_with_it(migrate: Any, tmp_path: Path, holds_core: bool) -> None:
    twin = made_twin(HEAD, "head")
    state = with_dead_originals(old_names(twin))
    pretrained = write_old(tmp_path / "pre", twin, HEAD, {**NEWEST, "model_config_dict": HEAD}, state=state)
    hyper = {
        "pretrained_checkpoint": "/gone/" + pretrained.checkpoint.name.replace("0.1234", "0.2000"),
        "cfg_dir": "parent.yaml",
        "lr": 1e-3,
        "wd": 1e-5,
        "max_ds": 50,
        "model_type": "learned",
        "model_index": 0,
    }
    heads = {name: tensor for name, tensor in state.items() if name.startswith(("model.readouts", "model.adapters"))}
    made = write_old(tmp_path / "new", twin, HEAD, hyper, state=state if holds_core else heads)
    code, result = migrate(made.checkpoint, "--dataset-configs", made.datasets)
    assert code == 3
    assert "0.2000" in result["error"]["hint"] + result["error"]["message"]
    named = ["--dataset-configs", made.datasets, "--model-config", pretrained.checkpoint]
    code, result = migrate(made.checkpoint, *named, "--check", made.batch)
    assert code == 0, result
    assert result["generation"] == "FrozenCoreModel"
    assert any("tensors of the core" in note for note in result["notes"]) != holds_core


def core_first(names: list[str]) -> list[list[str]]:
    core = [name for name in names if any(part in name for part in ("frontend", "convnet", "modulator"))]
    return [core, [name for name in names if name not in core]]


def test_moments_follow_their_parameter(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(RESNET, "old")
    state = {name.removeprefix("model."): tensor for name, tensor in old_names(twin).items()}
    groups = core_first([name for name in state])
    never = [name for name in state if name.endswith("log_sigma")]
    made = write_old(tmp_path, twin, RESNET, ACTIVE, optimizer_states=[adamw(groups, state, never)])
    code, result = migrate(*made.arguments)
    assert (code, result["optimizer"]) == (0, {"mapped": len(state) - 2, "reason": None})
    kept = torch.load(result["output"], weights_only=True)["old_optimizer"]
    for name, entry in kept["state"].items():
        assert torch.equal(entry["exp_avg"], 2 * state[name])
    assert [group["names"] for group in kept["groups"]] == groups
    assert kept["groups"][0]["lr"] == 1e-3


def test_groups_of_the_newest_snapshot_leave_out_what_is_frozen(migrate: Any, tmp_path: Path) -> None:
    twin = made_twin(HEAD, "head")
    state = with_dead_originals({n.removeprefix("model."): t for n, t in old_names(twin).items()})
    frozen = {n for n, p in twin.named_parameters() if not p.requires_grad and not n.endswith("log_sigma")}
    trained = [name for name in state if name not in frozen]
    groups = []
    for part in core_first(trained):
        decayed = [name for name in part if name.endswith(".weight") and state[name].ndim > 1]
        groups += [decayed, [name for name in part if name not in decayed]]
    dead = [name for name in state if name.endswith("original") and f"{name.removesuffix('original')}0.v" in state]
    hyper = {**NEWEST, "model_config_dict": HEAD}
    moments = adamw(groups, state, [*dead, *(n for n in state if n.endswith("log_sigma"))])
    prefixed = {f"model.{name}": tensor for name, tensor in state.items()}
    made = write_old(tmp_path, twin, HEAD, hyper, state=prefixed, optimizer_states=[moments])
    code, result = migrate(*made.arguments)
    assert (code, result["optimizer"]["reason"]) == (0, None)
    kept = torch.load(result["output"], weights_only=True)["old_optimizer"]
    for name, entry in kept["state"].items():
        assert torch.equal(entry["exp_avg_sq"], state[name].square())
    assert not set(dead) & {name for group in kept["groups"] for name in group["names"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda o: o["param_groups"][0]["params"].pop(), "do not fit"),
        (lambda o: o["state"][0].update(exp_avg=torch.zeros(7)), "shape"),
        (lambda o: o["state"][2]["exp_avg_sq"].fill_(float("inf")), "not finite"),
        (lambda o: o.update(param_groups=None), "AdamW"),
    ],
)
def test_moments_that_do_not_fit_are_dropped_with_a_reason(
    migrate: Any, tmp_path: Path, change: Any, reason: str
) -> None:
    twin = made_twin(RESNET, "old")
    state = {name.removeprefix("model."): tensor for name, tensor in old_names(twin).items()}
    optimizer = adamw(core_first(list(state)), state)
    change(optimizer)
    made = write_old(tmp_path, twin, RESNET, ACTIVE, optimizer_states=[optimizer])
    code, result = migrate(*made.arguments)
    assert (code, result["optimizer"]["mapped"]) == (0, 0)
    assert reason in result["optimizer"]["reason"]
    assert "old_optimizer" not in torch.load(result["output"], weights_only=True)


def test_windows_come_from_the_dataset_configs(migrate: Any, tmp_path: Path) -> None:
    made = active(tmp_path)
    code, result = migrate(*made.arguments)
    assert code == 0
    stored = read_checkpoint(Path(result["output"]))
    assert stored.model.lags == tuple(range(LAGS))
    assert stored.content["context"] == LAGS - 1
