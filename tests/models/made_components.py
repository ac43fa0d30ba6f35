"""Small settings of every adapter, frontend and convnet, as YAML would hold them, for maps of 12 to 16 pixels."""

from __future__ import annotations

from typing import Any

ADAPTERS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "scale": {"type": "adapter"},
    "affine": {"type": "adapter", "transform": "affine", "init_sigma": 1.0},
    "sharp": {"type": "adapter", "blur": False},
}

FRONTENDS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "temporal": {"type": "learnable_temporal", "kernel_size": 5, "num_channels": 3},
    "temporal_identity": {"type": "learnable_temporal", "kernel_size": 3, "num_channels": 2, "init": "identity"},
    "temporal_biphasic": {"type": "learnable_temporal", "kernel_size": 6, "init": "biphasic", "window": "kaiser"},
    "temporal_random": {"type": "learnable_temporal", "kernel_size": 4, "init": "random", "bias": True},
    "temporal_unit": {
        "type": "learnable_temporal",
        "kernel_size": 5,
        "num_channels": 3,
        "weight_norm": True,
        "keep_unit_norm": True,
    },
    "temporal_split": {
        "type": "learnable_temporal",
        "kernel_size": 5,
        "split_mp": True,
        "weight_norm": True,
        "bias": True,
    },
    "da": {"type": "da", "filter_length": 6},
    "da_learnable": {"type": "da", "filter_length": 6, "learnable": True},
    "basis": {"type": "temporal_basis", "num_cosine_funcs": 3, "history_bins": 7, "peak_range_ms": [10, 40]},
    "basis_linear": {
        "type": "temporal_basis",
        "num_delta_funcs": 2,
        "num_cosine_funcs": 3,
        "history_bins": 7,
        "log_spacing": False,
        "peak_range_ms": [0, 40],
        "orthogonalize": True,
    },
    "conv": {"type": "conv", "block": {"channels": 2, "kernel": [3, 3, 3], "norm": "none", "activation": "relu"}},
}

BLOCKS: dict[str, dict[str, Any]] = {
    "plain": {"channels": 4, "kernel": [3, 3, 3]},
    "depthwise": {"channels": 4, "kernel": [2, 3, 3], "conv": "depthwise", "norm": "layer", "activation": "silu"},
    "windowed": {
        "channels": 3,
        "kernel": [3, 5, 5],
        "window": "hann",
        "weight_norm": True,
        "keep_unit_norm": True,
        "padding": "valid",
        "norm": "grn",
        "activation": {"type": "splitrelu", "trainable_gain": True},
        "pool": "max",
    },
    "dilated": {"channels": 4, "kernel": [3, 3, 3], "dilation": 2, "padding": "replicate", "activation": "gelu"},
    "grouped": {
        "channels": 4,
        "kernel": [1, 3, 3],
        "groups": 2,
        "stride": [2, 2],
        "norm": {"type": "group", "groups": 2},
        "activation": "mish",
        "dropout": 0.2,
    },
    "blurred": {
        "channels": 4,
        "kernel": [3, 3, 3],
        "activation": "softplus",
        "pool": {"type": "aablur", "stride": 2, "reduction": 2},
    },
}
"""One block each; `grouped` reads an even number of channels."""


def _stem(**changes: Any) -> dict[str, Any]:
    return {"channels": 2, "kernel": [1, 5, 5], "window": "hann", "weight_norm": True, **changes}


CONVNETS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "resnet": {"type": "resnet", "stem": _stem(), "blocks": [BLOCKS["plain"], BLOCKS["windowed"]]},
    "resnet_depthwise": {
        "type": "resnet",
        "blocks": [BLOCKS["depthwise"], {**BLOCKS["blurred"], "shortcut_norm": "rms", "post_activation": "silu"}],
        "checkpointing": True,
    },
    "resnet_dilated": {
        "type": "resnet",
        "stem": _stem(stride=2),
        "blocks": [BLOCKS["dilated"], BLOCKS["grouped"]],
        "final_activation": "softplus",
    },
    "densenet": {"type": "densenet", "stem": _stem(norm="grn"), "blocks": [BLOCKS["windowed"], BLOCKS["plain"]]},
    "densenet_batch": {
        "type": "densenet",
        "blocks": [{**BLOCKS["plain"], "norm": "batch"}, {**BLOCKS["plain"], "pool": "avg"}],
    },
    "vanilla": {
        "type": "vanilla",
        "blocks": [
            {**BLOCKS["plain"], "norm": "instance", "pool": {"type": "adaptiveavg", "size": 6}},
            {**BLOCKS["grouped"], "stride": 1, "pool": "se"},
        ],
        "final_activation": {"type": "bsoftplus"},
    },
    "vanilla_learned_pool": {
        "type": "vanilla",
        "stem": _stem(),
        "blocks": [{**BLOCKS["depthwise"], "pool": "learned"}],
    },
    "x3d": {
        "type": "x3d",
        "stem": {"channels": 4, "kernel": [1, 3, 3], "activation": "silu", "stride": 2},
        "blocks": [
            {"channels": 4, "temporal_kernel": 2, "expansion": 2},
            {"channels": 6, "temporal_kernel": 3, "expansion": 2, "stride": 2, "squeeze_excite": True, "depth": 2},
        ],
    },
}
