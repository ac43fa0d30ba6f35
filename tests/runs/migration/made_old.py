"""Checkpoints as the earlier systems wrote them, made from a legacy twin whose predictions are then known."""

from __future__ import annotations

import copy
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from vctrain.config.legacy import Semantics, read_legacy_config
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.shapes import StoredShape

LAGS = 8
UNITS = {"Ada_2024-05-06": (0, 2, 5), "Bea_2024-05-07": (1, 3)}
SIDE = 15

RESNET: dict[str, Any] = {
    "model_type": "v1multi",
    "sampling_rate": 240,
    "initial_input_channels": 1,
    "adapter": {"type": "adapter", "params": {"grid_size": 13, "init_sigma": 1.0, "transform": "scale"}},
    "frontend": {"type": "learnable_temporal", "params": {"kernel_size": 5, "num_channels": 2}},
    "convnet": {
        "type": "resnet",
        "params": {
            "channels": [3, 4],
            "dim": 3,
            "final_activation": "softplus",
            "block_config": {
                "conv_params": {"type": "standard", "kernel_size": [3, 3, 3], "padding": [1, 1, 1], "stride": 1},
                "norm_type": "rms",
                "act_type": "silu",
                "pool_params": {"type": "aablur", "stride": 2, "r": 2, "use_soft": True},
            },
        },
    },
    "modulator": {"type": "none", "params": {}},
    "recurrent": {"type": "convgru", "params": {"hidden_dim": 4, "kernel_size": 3}},
    "readout": {"type": "gaussian", "params": {"n_units": 8, "bias": True, "initial_std": 3.0}},
    "output_activation": "none",
}
"""Like the configs of 2025-10."""

DENSE: dict[str, Any] = {
    "model_type": "v1multi",
    "initial_input_channels": 1,
    "adapter": {"type": "adapter", "params": {"grid_size": 13, "init_sigma": 1.0, "transform": "scale"}},
    "frontend": {"type": "none", "params": {}},
    "convnet": {
        "type": "densenet",
        "params": {
            "channels": [3],
            "block_configs": [
                {
                    "conv_params": {"type": "standard", "kernel_size": [3, 5, 5], "padding": [0, 0, 0]},
                    "norm_type": "batch",
                    "act_type": "relu",
                    "pool_params": {"type": "aablur", "stride": 2, "r": 1, "use_soft": True},
                }
            ],
        },
    },
    "modulator": {"type": "film", "params": {"behavior_dim": 4, "encoder_params": {"dims": [6, 6]}}},
    "recurrent": {"type": "none", "params": {}},
    "readout": {"type": "gaussian", "params": {"bias": True, "initial_std": 3.0}},
    "output_activation": "softplus",
}
"""No tensor of it tells which code computed."""


@dataclass(frozen=True)
class Made:
    """A checkpoint of an earlier system, its configs, and a batch of inputs with the rates it predicts."""

    checkpoint: Path
    model_yaml: Path
    datasets: Path
    batch: Path
    twin: LegacyTwin

    @property
    def arguments(self) -> list[str]:
        """The command line that migrates it."""
        named = ["--model-config", self.model_yaml, "--dataset-configs", self.datasets]
        return [str(part) for part in (self.checkpoint, *named)]


def made_twin(
    model: Mapping[str, Any], semantics: Semantics, units: Mapping[str, Sequence[int]] | None = None, **more: Any
) -> LegacyTwin:
    """A legacy twin with random weights everywhere."""
    units = UNITS if units is None else units
    config = read_legacy_config(dict(model), semantics=semantics, lags=tuple(range(LAGS)), **more)
    width = config.modulator.params.width if config.modulator.type != "none" else 0
    twin = LegacyTwin(config, [StoredShape(name, len(cids), SIDE, SIDE, width) for name, cids in units.items()])
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in twin.state_dict().items():
            if tensor.is_floating_point() and not name.endswith((".std", "running_var", "ongain", ".0.g")):
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
    return twin.eval()


def old_names(twin: LegacyTwin, prefix: str = "model.", single: bool = False) -> dict[str, Tensor]:
    """The twin's tensors as the old system stored them."""
    state = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    if single:
        ours = {"adapters.0": "adapter", "readouts.0": "readout", "baselines.0": "baseline"}
        for new, old in ours.items():
            state = {(old + name[len(new) :] if name.startswith(new) else name): t for name, t in state.items()}
    return {prefix + name: tensor for name, tensor in state.items()}


def write_batch(path: Path, twin: LegacyTwin, *, history: int = 0) -> Path:
    """Random inputs and the twin's rates, in the layout of --check."""
    generator = torch.Generator().manual_seed(5)
    arrays: dict[str, np.ndarray] = {}
    modulator = twin.config.modulator
    for index, units in enumerate(twin.units):
        stim = 0.5 * torch.randn(4, 1, LAGS, SIDE, SIDE, generator=generator)
        width = modulator.params.width if modulator.type != "none" else 4
        behavior = torch.randn(4, width, generator=generator)
        spikes = torch.rand(4, history, units, generator=generator) if history else None
        rates = twin.forward_windows(index, stim, behavior, spikes).detach()
        arrays |= {
            f"stim_{index}": stim.numpy(),
            f"behavior_{index}": behavior.numpy(),
            f"rates_{index}": rates.numpy(),
        }
        if spikes is not None:
            arrays[f"history_{index}"] = spikes.numpy()
    np.savez(path, **arrays)
    return path


def dataset(name: str, cids: Sequence[int]) -> dict[str, Any]:
    """A complete dataset config of the old system."""
    return {
        "session": name,
        "lab": "yates",
        "types": ["gaborium"],
        "cids": list(cids),
        "sampling": {"source_rate": 240, "target_rate": 120},
        "keys_lags": {"robs": 0, "stim": list(range(LAGS)), "behavior": 0, "dfs": 0},
        "transforms": {"stim": {"source": "stim", "ops": [{"pixelnorm": {}}, {"unsqueeze": 1}], "expose_as": "stim"}},
        "datafilters": {"dfs": {"ops": [{"valid_nlags": {"n_lags": LAGS + 1}}], "expose_as": "dfs"}},
        "train_val_split": 0.8,
        "seed": 1002,
    }


def write_datasets(folder: Path, units: Mapping[str, Sequence[int]] | None = None) -> Path:
    """A folder of complete dataset YAMLs."""
    folder.mkdir(parents=True)
    for name, cids in (UNITS if units is None else units).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(dataset(name, cids), sort_keys=False))
    return folder


def write_old(
    folder: Path,
    twin: LegacyTwin,
    model: Mapping[str, Any],
    hyper: Mapping[str, Any],
    *,
    state: Mapping[str, Tensor] | None = None,
    units: Mapping[str, Sequence[int]] | None = None,
    **top: Any,
) -> Made:
    """A Lightning checkpoint, ``model.yaml``, ``datasets/`` and ``batch.npz`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "epoch=03-val_bps_overall=0.1234.ckpt"
    content = {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": dict(old_names(twin) if state is None else state),
        "loops": {},
        "callbacks": {"EarlyStopping{'monitor': 'val_bps_overall'}": {"best_score": torch.tensor(0.1)}},
        "optimizer_states": [],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": dict(hyper),
        **top,
    }
    torch.save(content, checkpoint)
    (folder / "model.yaml").write_text(yaml.safe_dump(copy.deepcopy(dict(model)), sort_keys=False))
    history = len(twin.config.spike_lags)
    batch = write_batch(folder / "batch.npz", twin, history=history)
    return Made(checkpoint, folder / "model.yaml", write_datasets(folder / "datasets", units), batch, twin)


ACTIVE: dict[str, Any] = {
    "model_cfg": "configs/model.yaml",
    "cfg_dir": "configs/datasets",
    "lr": 1e-3,
    "wd": 1e-4,
    "max_ds": 30,
    "pretrained_checkpoint": None,
    "freeze_vision": False,
    "compile_model": False,
    "core_lr_scale": 0.5,
}
"""Hyperparameters of the trainer of 2025-10."""


def active(folder: Path, model: Mapping[str, Any] = RESNET, semantics: Semantics = "old", **more: Any) -> Made:
    """A checkpoint of the trainer of 2025-10."""
    return write_old(folder, made_twin(model, semantics), model, ACTIVE, **more)


def adamw(groups: Sequence[Sequence[str]], state: Mapping[str, Tensor], without: Sequence[str] = ()) -> dict[str, Any]:
    """The state of an AdamW over groups of parameters; each moment tells its parameter by its values."""
    numbered = {name: index for index, name in enumerate(name for group in groups for name in group)}
    moments = {
        index: {
            "step": torch.tensor(40.0),
            "exp_avg": state[name] * 2.0,
            "exp_avg_sq": state[name].square(),
        }
        for name, index in numbered.items()
        if name not in without
    }
    described = [
        {"lr": 1e-3, "weight_decay": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "params": [numbered[n] for n in group]}
        for group in groups
    ]
    return {"state": moments, "param_groups": described}


def foreign_module(monkeypatch: Any) -> types.ModuleType:
    """A module of the old package, with a class and a function that its checkpoints pickle."""
    package = types.ModuleType("DataYatesV1")
    module = types.ModuleType("DataYatesV1.models")

    class MultiDatasetV1Model:
        pass

    def build_model() -> None:
        raise AssertionError("called")

    for thing in (MultiDatasetV1Model, build_model):
        thing.__module__, thing.__qualname__ = "DataYatesV1.models", thing.__name__
        setattr(module, thing.__name__, thing)
    monkeypatch.setitem(sys.modules, "DataYatesV1", package)
    monkeypatch.setitem(sys.modules, "DataYatesV1.models", module)
    return module


def in_order(made: Made, names: Sequence[str]) -> Made:
    """The same with a parent YAML that lists its sessions in this order."""
    folder = made.datasets
    parent = folder.parent / "parent.yaml"
    parent.write_text(yaml.safe_dump({"session_dir": folder.name, "sessions": list(names)}, sort_keys=False))
    return replace(made, datasets=parent)
