"""What the names of old tensors say: which are dead, and what the config left open."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from old_checkpoints import made

import vctrain
from vctrain.config.legacy import read_legacy_config
from vctrain.models.legacy.names import current_name, dead_tensors, settled

CONV = {"kernel_size": [3, 3, 3], "padding": 1}
BLOCK = {"conv_params": CONV, "norm_type": "rms", "act_type": "splitrelu"}


def config(description: dict[str, Any], semantics: str = "old") -> Any:
    return read_legacy_config(description, semantics=semantics, lags=(0, 1, 2, 3, 4))  # type: ignore[arg-type]


def test_single_session_names() -> None:
    names = ("adapter.log_scale", "readout.features.weight", "baseline", "convnet.layers.0.x", "adapters.0.log_scale")
    assert [current_name(name) for name in names] == [
        "adapters.0.log_scale",
        "readouts.0.features.weight",
        "baselines.0",
        "convnet.layers.0.x",
        "adapters.0.log_scale",
    ]


def test_kernels_that_weight_norm_replaced() -> None:
    stem = "convnet.stem.components.conv.conv.parametrizations.weight"
    windowed = "frontend.temporal_conv.conv.parametrizations.weight.original"
    names = [f"{stem}.original", f"{stem}.0.v", f"{stem}.0.g", windowed]
    assert list(dead_tensors(config({}, "head"), names)) == [f"{stem}.original"]


def test_copies_and_constants() -> None:
    names = ["readout.bias", "readout.fc.bias", "readout.fc.weight", "readouts.1.bias", "readouts.1.mean"]
    names += ["readouts.2.ex_units", "readouts.2.inh_units", "convnet.layers.1.main_block.components.pool.blur"]
    names += ["adapters.0.base_grid", "frontend.basis", "modulator.gru.cell.conv_x.weight", "adapter.log_sigma"]
    dead = dead_tensors(config({}), names)
    assert set(dead) == {
        "readout.bias",
        "readouts.2.ex_units",
        "readouts.2.inh_units",
        "convnet.layers.1.main_block.components.pool.blur",
        "adapters.0.base_grid",
        "frontend.basis",
    }
    assert "twice" in dead["readout.bias"]


@pytest.mark.parametrize("learns", [True, False])
def test_constants_of_the_adaptation_model(learns: bool) -> None:
    names = [f"frontend.{name}" for name in ("alpha", "beta", "gamma", "tau_y_ms", "n_y", "tau_z_ms", "n_z")]
    names += ["frontend.Ky_filter", "frontend.Kz_filter"]
    frontend = {"type": "da", "params": {"learnable_params": learns, "filter_length": 4}}
    dead = set(dead_tensors(config({"frontend": frontend}), names))
    assert dead == (set(names[7:]) if learns else set(names[2:7]))
    twin = made({"frontend": frontend})
    assert {name for name in twin.state_dict() if name.startswith("frontend.")} == set(names) - dead


@pytest.mark.parametrize(
    ("semantics", "kind", "prefix"),
    [
        ("head", "resnet", "convnet.stem"),
        ("old", "resnet", "convnet.layers.0"),
        ("head", "resnet", "convnet.layers.0.main_block"),
        ("old", "resnet", "convnet.layers.1.main_block"),
        ("head", "densenet", "convnet.layers.0"),
    ],
)
def test_steps_that_a_block_leaves_out(semantics: str, kind: str, prefix: str) -> None:
    block = {**BLOCK, "order": ["pad", "conv", "act"]}
    params = {"channels": [2], "block_configs": [block], "stem_config": {**block, "out_channels": 2}}
    described = config({"convnet": {"type": kind, "params": params}}, semantics)
    names = [f"{prefix}.components.{name}" for name in ("norm.gamma", "pool.se.1.weight", "conv.conv.weight")]
    assert list(dead_tensors(described, names)) == names[:2]


def test_a_gain_of_norms_tells_code_between_generations() -> None:
    net = {"type": "resnet", "params": {"channels": [2], "block_configs": [BLOCK]}}
    gain = "convnet.layers.0.main_block.components.norm.gamma"
    old, head = config({"convnet": net}), config({"convnet": net}, "head")
    assert settled(old, []).rms_affine is None
    assert settled(old, [gain]).rms_affine is True
    assert settled(head, [gain]).rms_affine is None
    assert settled(head, []).rms_affine is False
    twin = made({"convnet": net}, rms_affine=True)
    assert gain in twin.state_dict()


def test_names_tell_how_x3d_units_were_made() -> None:
    net = config({"convnet": {"type": "x3d", "params": {"channels": [2]}}})
    plain = settled(net, ["convnet.layers.0.proj.weight"]).convnet.params
    assert (plain.pointwise, plain.bare_shortcut) == (False, True)
    names = ["convnet.layers.0.pre_temporal.components.conv.pointwise.weight"]
    names += ["convnet.layers.0.proj.components.conv.conv.weight"]
    other = settled(net, names).convnet.params
    assert (other.pointwise, other.bare_shortcut) == (True, False)
    twin = made({"convnet": {"type": "x3d", "params": other.model_dump(mode="json")}})
    assert set(names) <= set(twin.state_dict())


def test_quirks_of_old_code_are_reached_through_the_builder_and_the_migration_only() -> None:
    """No current component computes with anything of models/legacy (defects A4, A13, A14, A24)."""
    root = Path(vctrain.__file__).parent
    users = set()
    for path in root.rglob("*.py"):
        imported = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                         [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        }  # fmt: skip
        if any(name.startswith("vctrain.models.legacy") for name in imported):
            users.add(path.relative_to(root).as_posix())
    current = {user for user in users if user.startswith("models/") and not user.startswith("models/legacy/")}
    assert current == {"models/build.py"}
