"""Twins from the checkpoints that the old system wrote, and small legacy twins made for a test."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from vctrain.config.legacy import LegacyModelConfig, Semantics, read_legacy_config
from vctrain.data.clips import SessionClips
from vctrain.models.legacy.names import current_name, dead_tensors, settled
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.models.shapes import StoredShape

LAGS = tuple(range(12))
SIDE, BEHAVIOR = 21, 42
IDS = (
    "d01_plcore_v1_resnet_convgru",
    "d02_mdplcore_dense_film",
    "d03_active_gaborium_resnet_convgrumod",
    "d04_active_compiled_resnet_none_gru",
    "d05_active_modulator_only",
    "d06_active_concat_softplus_baseline",
    "d07_active_film",
    "d08_active_pc",
    "d09_active_stn",
    "d10_active_cones_core_res_film_ei",
    "d11_head_resnet_none_convgru",
    "d12_head_dense_concat_convgru",
    "d13_head_modulator_only",
    "d14_mid_e482ece_none_gru_antialias",
)


class _Foreign:
    """Stands for a class of the old packages."""

    def __init__(self, *_args: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


class _OwnFixtures:
    """Reads the fixtures, which are trusted; users' files go through the migration's reader."""

    __name__ = "own_fixtures"

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            known = module.split(".")[0] in ("torch", "collections", "builtins")
            return super().find_class(module, name) if known else _Foreign


def old_weights(folder: Path) -> dict[str, Tensor]:
    """The state dict of a fixture's checkpoint without the prefixes of Lightning and of ``torch.compile``."""
    (path,) = folder.glob("*.ckpt")
    content = torch.load(path, map_location="cpu", pickle_module=_OwnFixtures, weights_only=False)
    return {re.sub(r"^model\.(_orig_mod\.)?", "", name): value for name, value in content["state_dict"].items()}


def semantics_of(name: str) -> Semantics:
    return "head" if "_head_" in name else "old-antialias" if "_mid_" in name else "old"


@dataclass(frozen=True)
class Loaded:
    twin: LegacyTwin
    expected: Mapping[str, np.ndarray]
    dead: dict[str, str]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.expected[name])


def load(folder: Path) -> Loaded:
    """A fixture's twin in evaluation mode, every stored tensor either loaded or dead."""
    weights = old_weights(folder)
    with np.load(folder / "expected.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    units = [expected[f"rates_{i}"].shape[1] for i in range(2) if f"rates_{i}" in expected]
    shapes = [StoredShape(f"S{i}", n, SIDE, SIDE, BEHAVIOR) for i, n in enumerate(units)]
    description = yaml.safe_load((folder / "model_config.yaml").read_text())
    config = settled(read_legacy_config(description, semantics=semantics_of(folder.name), lags=LAGS), weights)
    dead = dead_tensors(config, weights)
    twin = LegacyTwin(config, shapes)
    twin.load_state_dict({current_name(name): value for name, value in weights.items() if name not in dead})
    return Loaded(twin.eval(), expected, dead)


def made(
    description: Mapping[str, Any],
    semantics: Semantics = "old",
    *,
    lags: Sequence[int] = range(8),
    units: Sequence[int] = (3, 2),
    side: int = 13,
    behavior: int = 0,
    **more: Any,
) -> LegacyTwin:
    """A legacy twin in evaluation mode, every learned tensor away from its special starting value."""
    torch.manual_seed(0)
    config: LegacyModelConfig = read_legacy_config(description, semantics=semantics, lags=tuple(lags), **more)
    twin = LegacyTwin(config, [StoredShape(f"S{i}", n, side, side, behavior) for i, n in enumerate(units)])
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return twin.eval()


def clips(
    twin: LegacyTwin, session: int = 0, n: int = 2, scored: int = 5, side: int = 13, behavior: int = 0
) -> SessionClips:
    """Random clips with exactly the context that ``twin`` needs."""
    generator = torch.Generator().manual_seed(session + 11 * n)
    frames, units, before = twin.context + scored, twin.units[session], twin.history_frames
    history = torch.poisson(torch.full((n, before + scored, units), 0.5), generator=generator)
    return SessionClips(
        session=session,
        stim=torch.randint(0, 255, (n, frames, side, side), generator=generator, dtype=torch.uint8),
        robs=torch.ones(n, scored, units),
        dfs=torch.ones(n, scored, 1),
        behavior=torch.randn(n, frames, behavior, generator=generator) if behavior else None,
        history=history if before else None,
    )


def window_by_window(twin: LegacyTwin, part: SessionClips) -> Tensor:
    """Rates ``(n, L, U)`` of the windows of ``part``, each formed and run by itself."""
    assert part.stim is not None
    movie, scored = (part.stim.float() - 127) / 255, part.robs.shape[1]
    rates = []
    for frame in range(movie.shape[1] - scored, movie.shape[1]):
        window = torch.stack([movie[:, frame - lag] for lag in twin.config.lags], dim=1)[:, None]
        behavior = None if part.behavior is None else part.behavior[:, frame]
        history = None
        if part.history is not None:
            now = part.history.shape[1] - movie.shape[1] + frame
            history = torch.stack([part.history[:, now - lag] for lag in twin.config.spike_lags], dim=1)
        rates.append(twin.forward_windows(part.session, window, behavior, history))
    return torch.stack(rates, dim=1)


def largest_relative(value: Tensor, expected: Tensor) -> float:
    """Largest difference relative to ``max(|expected|, 1e-6)``."""
    return float(((value - expected).abs() / expected.abs().clamp_min(1e-6)).max().detach())


def stored_windows(loaded: Loaded) -> list[SessionClips]:
    """The windows of the fixture as clips of one scored frame, oldest frame first."""
    twin, parts = loaded.twin, []
    for session, units in enumerate(twin.units):
        stim = loaded.tensor(f"stim_{session}")[:, 0].flip(1)
        behavior = loaded.tensor(f"behavior_{session}")[:, None].expand(-1, len(LAGS), -1)
        parts.append(
            SessionClips(
                session=session,
                stim=stim if twin.reads_stimulus else None,
                robs=torch.zeros(len(stim), 1, units),
                dfs=torch.ones(len(stim), 1, 1),
                behavior=behavior,
            )
        )
    return parts
