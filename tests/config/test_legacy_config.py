"""Descriptions of old models become settings: defaults of the old system, tolerated and refused keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vctrain.config.legacy import (
    LegacyModelConfig,
    Semantics,
    ignored_keys,
    read_legacy_config,
    read_model_config,
)
from vctrain.config.legacy_parts import NoPart
from vctrain.config.model import ModelConfig
from vctrain.errors import UsageError

LAGS = (0, 1, 2, 3)
CONV = {"kernel_size": [3, 5, 5], "padding": [1, 3, 3]}
NET: dict[str, Any] = {
    "adapter": {"type": "adapter", "params": {"grid_size": 17}},
    "frontend": {"type": "learnable_temporal", "params": {}},
    "convnet": {"type": "resnet", "params": {"channels": [4, 4], "block_config": {"conv_params": CONV}}},
    "modulator": {"type": "film", "params": {"behavior_dim": 42}},
}


def read(description: dict[str, Any], semantics: Semantics = "old", **more: Any) -> LegacyModelConfig:
    return read_legacy_config(description, semantics=semantics, lags=more.pop("lags", LAGS), source="m.yaml", **more)


def changed(path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(NET))
    here = copy
    *above, last = path.split(".")
    for step in above:
        here = here.setdefault(step, {})
    here[last] = value
    return copy


def test_defaults_are_those_of_the_old_system() -> None:
    config = read({**NET, "recurrent": {"type": "convgru"}, "readout": {"type": "gaussian", "params": None}})
    assert config.adapter.params.init_sigma == 1.0
    assert (config.frontend.params.kernel_size, config.frontend.params.num_channels) == (16, 6)
    block = config.convnet.params.blocks[1]
    assert (block.norm_type, block.act_type, block.causal) == ("batch", "relu", True)
    assert block.conv_params.padding_mode == "replicate"
    encoder = config.modulator.params.encoder_params
    assert (encoder.dims, encoder.activation, encoder.residual) == ((64, 64), "gelu", True)
    assert read(changed("modulator.type", "stn")).modulator.params.encoder_params.dims == (128, 128)
    assert (config.recurrent.params.hidden_dim, config.recurrent.params.kernel_size) == (64, 3)
    assert (config.readout.params.initial_std, config.readout.params.initial_mean_scale) == (5.0, 0.0)
    assert (config.lambda_pred, config.sampling_rate, config.initial_input_channels) == (0.1, 240, 1)
    assert not config.baseline.enabled
    assert (config.context, config.log_rate, config.reads_stimulus, config.spike_lags) == (3, True, True, ())


@pytest.mark.parametrize("empty", [None, {}, {"type": "none"}, {"type": "none", "params": None}, {"type": None}])
def test_nothing_is_nothing_however_it_is_written(empty: Any) -> None:
    if empty == {}:
        with pytest.raises(UsageError, match=r"recurrent\.type is missing"):
            read({**NET, "recurrent": empty})
        return
    assert isinstance(read({**NET, "recurrent": empty}).recurrent, NoPart)


def test_a_modulator_alone_reads_no_stimulus() -> None:
    config = read({"modulator": {"type": "concat", "params": {"n_vars": 3}}, "readout": {"type": "linear"}})
    assert not config.reads_stimulus
    assert config.behavior_dim == 3
    assert read(NET).behavior_dim == 42
    assert read({"modulator": {"type": "film"}}).behavior_dim == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("comment", "made in March"),
        ("lambda_perd", 3),
        ("convnet.params.whatever", {"a": [1, None, "x"]}),
        ("modulator.params.beh_dim", 3),
        ("recurrent", {"type": "convgru", "params": {"dropout": 0.1}}),
        ("readout", {"type": "gaussianei", "params": {"in_features": 3}}),
    ],
)
def test_keys_that_the_old_system_passed_over_are_kept_and_told(path: str, value: Any) -> None:
    description = changed(path, value)
    config = read(description)
    (told,) = ignored_keys(config)
    assert told.startswith(path.rpartition(".")[0])
    assert read_model_config(json.loads(config.model_dump_json())) == config
    assert ignored_keys(read(NET)) == []


@pytest.mark.parametrize(
    ("path", "value", "words", "hint"),
    [
        ("adapter.params.grid_sise", 3, "unknown key adapter.params.grid_sise in m.yaml", "adapter.params.grid_size"),
        ("frontend.params.kernel", 3, "unknown key frontend.params.kernel", "kernel_size"),
        ("adapter.type", "adaptor", "no adapter 'adaptor'", "adapter"),
        ("convnet.params.block_config.norm_tpye", "rms", "norm_tpye", "norm_type"),
        ("convnet.params.block_config.conv_params.kernal_size", 3, "kernal_size", "kernel_size"),
        ("convnet.params.block_config.norm_type", "rmss", "'rmss' is not a choice", "rms"),
        ("convnet.params.block_config.pool_params", {"type": "aablurr"}, "no pool_params 'aablurr'", "aablur"),
        ("convnet.params.block_config.pool_params", {"type": "locatt"}, "not known here", ""),
        ("convnet.params.block_config.conv_params.type", "stacked2d", "images without time", ""),
        ("convnet.params.block_config.conv_params.kernel_size", [3, 3], "three", ""),
        ("convnet.params.block_config.order", ["norm", "act"], "names no conv", ""),
        ("convnet.params.block_config.use_weight_norm", True, "use_weight_norm", "False"),
        ("convnet.params.dim", 2, "convnet.params.dim", "3"),
        ("convnet.params.block_configs", [{"conv_params": CONV}], "2 entries, block_configs 1", "block_config"),
        ("convnet", {"type": "shifttcn", "params": {}}, "shifttcn is not read", "anew"),
        ("convnet", {"type": "x3d", "params": {"channels": [2, 3], "depth": [1]}}, "2 stages, depth", "depth"),
        ("recurrent", {"type": "gru", "params": {}}, "gru is not read", "anew"),
        ("readout", {"type": "gaussianei", "params": {"frac_inhib": 0.2}}, "frac_inhib", ""),
        ("readout", {"type": "gaussian", "params": {"initial_sdt": 0.2}}, "initial_sdt", "initial_std"),
    ],
)
def test_mistakes_are_told_with_what_may_be_meant(path: str, value: Any, words: str, hint: str) -> None:
    with pytest.raises(UsageError) as told:
        read(changed(path, value))
    assert words in str(told.value)
    assert hint in told.value.hint
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize(
    ("semantics", "path", "value"),
    [
        ("head", "modulator", {"type": "pc", "params": {}}),
        ("head", "modulator", {"type": "stn", "params": {}}),
        ("head", "convnet", {"type": "x3d", "params": {"channels": [2]}}),
        ("head", "recurrent", {"type": "convlstm"}),
        ("head", "recurrent", {"type": "convgru", "params": {"fast_phase": True}}),
        ("head", "readout", {"type": "gaussiansn"}),
        ("head", "frontend.params.anti_aliasing", True),
        ("old", "model_type", "v1multi_history"),
        ("old", "recurrent", {"type": "convgru", "params": {"n_layers": 2}}),
        ("old", "frontend.params.split_MP", True),
        ("old", "frontend.params.aa_signal", True),
        ("old-antialias", "convnet.params.block_config.conv_params.use_weight_norm", True),
        ("old", "convnet.params.block_config.pool_params", {"type": "se_pool"}),
    ],
)
def test_what_a_generation_did_not_know_is_refused(semantics: Semantics, path: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"semantics {semantics} knew no") as told:
        read(changed(path, value), semantics)
    assert ("old" if semantics == "head" else "head") in told.value.hint


@pytest.mark.parametrize("lags", [(3, 1), (0, 0), (1, 2, 2)])
def test_lags_rise(lags: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="lags rise"):
        read(NET, lags=lags)


def test_lags_of_spikes() -> None:
    spikes = {**NET, "model_type": "v1multi_history", "history_encoder": {"type": "mlp", "params": {"num_lags": 3}}}
    assert read(spikes, "head").spike_lags == (1, 2, 3)
    assert read(spikes, "head", history_lags=(1, 3, 5)).spike_lags == (1, 3, 5)
    with pytest.raises(UsageError, match="history_lags has 2"):
        read(spikes, "head", history_lags=(1, 3))
    assert read({**spikes, "history_encoder": None, "model_type": "v1"}, "head").spike_lags == ()


def test_heads_of_sessions() -> None:
    own = {"Ada_2024-01-01": {"readout": {"type": "linear", "params": None}}}
    config = read(NET, heads=own)
    assert config.readout_of("Ada_2024-01-01").type == "linear"
    assert config.readout_of("Bob_2024-01-01").type == "gaussian"
    assert config.adapter_of("Ada_2024-01-01").type == "adapter"
    with pytest.raises(UsageError, match="semantics head knew no readout gaussianei"):
        read({"convnet": NET["convnet"]}, "head", heads={"Ada": {"readout": {"type": "gaussianei"}}})


def test_configs_of_both_kinds_are_read() -> None:
    old = read(NET)
    assert read_model_config(json.loads(old.model_dump_json())) == old
    assert isinstance(read_model_config({}), ModelConfig)
    assert isinstance(read_model_config({"semantics": "streaming"}), ModelConfig)
    with pytest.raises(UsageError, match="semantics"):
        read_model_config({**NET, "semantics": "older", "lags": [0]})


def test_regularization_is_kept_word_for_word() -> None:
    entries = [
        {"name": "a", "type": "l1", "lambda": 1e-7, "apply_to": ["readouts/features"], "schedule": {"kind": "x"}}
    ]
    assert read({**NET, "regularization": entries}).regularization == entries
