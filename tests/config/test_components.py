"""Settings of core components: bare names, what does not fit together, and what twins do not offer and why."""

from __future__ import annotations

from typing import Any

import pytest
from models.made_components import BLOCKS, CONVNETS, FRONTENDS
from pydantic import TypeAdapter

from vctrain.config.components.activations import Activation
from vctrain.config.components.blocks import Block
from vctrain.config.components.convnets import Convnet
from vctrain.config.components.frontends import Frontend
from vctrain.config.components.norms import Norm
from vctrain.config.components.pools import Pool
from vctrain.config.components.refused import REFUSED
from vctrain.config.model import ModelConfig
from vctrain.config.problems import check
from vctrain.config.schema import Settings
from vctrain.errors import UsageError


def refusal(model: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as caught:
        check(Settings, {"model": model}, lambda dotted: "my.yaml")
    return f"{caught.value.message} | {caught.value.hint}"


def resnet(**block: Any) -> dict[str, Any]:
    return {"convnet": {"type": "resnet", "blocks": [{"channels": 4, **block}]}}


@pytest.mark.parametrize(
    ("kind", "short", "long"),
    [
        (Norm, "rms", {"type": "rms", "affine": False}),
        (Norm, "group", {"type": "group", "groups": 2}),
        (Activation, "silu", {"type": "bsoftplus", "init_beta": 2.0}),
        (Activation, "splitrelu", {"type": "splitrelu", "trainable_gain": True}),
        (Pool, "avg", {"type": "avg", "kernel": 3}),
        (Pool, "aablur", {"type": "aablur", "temperature": 10.0}),
    ],
)
def test_a_part_is_a_bare_name_unless_it_has_settings_of_its_own(kind, short, long):
    adapter = TypeAdapter(kind)
    assert adapter.dump_python(adapter.validate_python(short), mode="json") == short
    assert adapter.dump_python(adapter.validate_python({"type": short}), mode="json") == short
    written = adapter.dump_python(adapter.validate_python(long), mode="json")
    assert long.items() <= written.items()
    assert adapter.validate_python(written) == adapter.validate_python(long)


@pytest.mark.parametrize("content", [*FRONTENDS.values(), *CONVNETS.values()])
def test_settings_read_back_as_they_were_written(content):
    family = "convnet" if content in CONVNETS.values() else "frontend"
    model = ModelConfig.model_validate({family: content})
    assert ModelConfig.model_validate(model.model_dump(mode="json")) == model


def test_one_number_stands_for_all_axes():
    block = Block.model_validate({"channels": 1, "stride": 2, "dilation": 3})
    assert (block.stride, block.dilation) == ((2, 2), (3, 3, 3))
    assert block.history == 0
    assert Block(channels=1, kernel=(3, 1, 1), dilation=(2, 1, 1)).history == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"convnet": {"type": "shifttcn"}}, ["model.convnet.type", "read the future", "resnet"]),
        ({"convnet": {"type": "cnn", "blocks": []}}, ["no convnet 'cnn'", "vanilla"]),
        ({"frontend": {"type": "adapter"}}, ["no frontend 'adapter'", "model.adapter"]),
        (resnet(conv="windowed2d"), ["blocks.0.conv", "standard with a window"]),
        (resnet(pool="locatt"), ["blocks.0.pool.type", "aablur"]),
        (resnet(pool="se_pool"), ["it is called se"]),
        (resnet(activation="swish"), ["it is called silu"]),
        (resnet(norm="bach"), ["did you mean batch?"]),
        (resnet(norm={"type": "rms", "afine": True}), ["norm.afine", "norm.affine?"]),
        (resnet(norm={"type": "group", "groups": 3}), ["groups 3 do not divide channels 4"]),
        (resnet(norm="batch", bias=True), ["bias: true would learn nothing"]),
        (resnet(groups=3), ["groups", "does not divide channels 4"]),
        (resnet(groups=2, conv="depthwise"), ["belongs to conv standard"]),
        (resnet(kernel=[3, 4, 4]), ["an even kernel has no centre"]),
        (resnet(stride=[2, 1]), ["feature maps are square"]),
        (resnet(stride=[2, 2, 2]), ["stride", "at most 2 items"]),
        (resnet(kernel=[1, 3, 5], padding="valid"), ["as high as wide"]),
        (resnet(keep_unit_norm=True), ["weight_norm: true"]),
        (resnet(residual=False, post_activation="relu"), ["belongs to residual: true"]),
        ({"convnet": {"type": "vanilla", "blocks": [{"channels": 4, "residual": True}]}}, ["unknown key", "residual"]),
        ({"convnet": {"type": "densenet"}}, ["model.convnet.blocks is missing"]),
        ({"convnet": {"type": "x3d", "blocks": []}}, ["at least 1 item"]),
        (
            {"convnet": {"type": "vanilla", "blocks": [{"channels": 4, "norm": "batch"}], "checkpointing": True}},
            ["count each batch twice"],
        ),
        (
            {"convnet": {"type": "x3d", "blocks": [{"channels": 4}], "norm": "batch", "checkpointing": True}},
            ["count each batch twice"],
        ),
        (
            {"convnet": {"type": "x3d", "blocks": [{"channels": 4}], "activation": "splitrelu"}},
            ["number of channels"],
        ),
        ({"frontend": {"type": "learnable_temporal", "num_channels": 3, "split_mp": True}}, ["even num_channels"]),
        ({"frontend": {"type": "da", "n_y": 0.0, "learnable": True}}, ["n_y and n_z above 0"]),
        ({"frontend": {"type": "temporal_basis", "num_cosine_funcs": 0}}, ["at least one function"]),
        ({"frontend": {"type": "temporal_basis", "peak_range_ms": [90, 20]}}, ["should rise"]),
        ({"frontend": {"type": "temporal_basis", "num_delta_funcs": 9, "history_bins": 4}}, ["9 delays"]),
        ({"frontend": {"type": "learnable_temporal", "num_cosine_funcs": 3}}, ["belongs to type temporal_basis"]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(content, words):
    said = refusal(content)
    for word in words:
        assert word in said, said
    assert "union" not in said
    assert "is one value, not a mapping" not in said


def test_refused_types_are_not_on_offer():
    offered = {"frontend": FRONTENDS, "convnet": CONVNETS}
    for (family, name), why in REFUSED.items():
        assert why
        if family in offered:
            assert name not in {content["type"] for content in offered[family].values()}


def test_the_samples_cover_every_type():
    for kind, samples in ((Frontend, FRONTENDS), (Convnet, CONVNETS)):
        tags = set(TypeAdapter(kind).json_schema()["discriminator"]["mapping"])
        assert tags == {content["type"] for content in samples.values()}
    for part in ("norm", "activation", "pool"):
        assert any(part in block for block in BLOCKS.values())
