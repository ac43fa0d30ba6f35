"""Small settings of every modulator, recurrent stage, readout, history, baseline and output, as YAML would hold
them."""

from __future__ import annotations

from typing import Any

MODULATORS: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "concat": {"type": "concat", "dims": [6, 4], "residual": True, "last_layer_activation": False},
    "film": {"type": "film", "dims": [8, 8, 4], "activation": "silu", "residual": True},
    "stn": {"type": "stn", "dims": [6, 4], "activation": "tanh"},
    "convgru": {"type": "convgru", "dims": [4], "hidden": 4, "warmup": 24},
    "pc": {"type": "pc", "dims": [4], "hidden": 4, "warmup": 24},
    "pc_error": {"type": "pc", "dims": [4], "hidden": 3, "warmup": 24, "concat_error": False},
}

RECURRENT: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "convgru": {"type": "convgru", "hidden": 4, "warmup": 24},
    "convgru_layers": {"type": "convgru", "hidden": 3, "layers": 2, "warmup": 36},
    "convlstm": {"type": "convlstm", "hidden": 4, "warmup": 24},
}

READOUTS: dict[str, dict[str, Any]] = {
    "gaussian": {"type": "gaussian"},
    "gaussianei": {"type": "gaussianei"},
    "gaussianei_softplus": {"type": "gaussianei", "constraint": "softplus", "bias": False},
    "gaussiansn": {"type": "gaussiansn"},
    "linear": {"type": "linear"},
}

HISTORIES: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "mlp": {"type": "mlp", "num_lags": 3, "hidden": [5]},
    "mlp_long": {"type": "mlp", "num_lags": 9, "hidden": [], "activation": "tanh"},
}

BASELINES: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "softplus": {"type": "learned", "init": 0.01},
    "relu": {"type": "learned", "activation": "relu", "init": 0.01},
}

OUTPUTS: dict[str, str] = {"softplus": "softplus", "exp": "exp", "relu": "relu"}
