"""Twins of old checkpoints predict what the old system predicted, and learn what it learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from old_checkpoints import (
    BEHAVIOR,
    IDS,
    LAGS,
    SIDE,
    Loaded,
    clips,
    largest_relative,
    load,
    stored_windows,
    window_by_window,
)
from torch import Tensor

from vctrain.models.legacy.names import current_name

RATES, SHARING, LEARNING = 1e-6, 1e-6, 1e-4


@pytest.fixture(scope="module", params=IDS)
def loaded(request: pytest.FixtureRequest, legacy_fixtures: Path) -> Loaded:
    return load(legacy_fixtures / request.param)


def test_rates_of_windows(loaded: Loaded) -> None:
    for session in range(len(loaded.twin.units)):
        stim, behavior = loaded.tensor(f"stim_{session}"), loaded.tensor(f"behavior_{session}")
        with torch.no_grad():
            rates = loaded.twin.forward_windows(session, stim, behavior)
        assert largest_relative(rates, loaded.tensor(f"rates_{session}")) < RATES


def test_rates_of_clips_of_one_scored_frame(loaded: Loaded) -> None:
    twin = loaded.twin
    parts = stored_windows(loaded)
    with torch.no_grad():
        found = twin(parts)
    assert twin.context == LAGS[-1]
    for session, rates in enumerate(found):
        assert rates.shape == (5, 1, twin.units[session])
        assert largest_relative(rates[:, 0], loaded.tensor(f"rates_{session}")) < RATES


def test_longer_clips_share_without_a_difference(loaded: Loaded) -> None:
    twin = loaded.twin
    parts = [clips(twin, session, side=SIDE, behavior=BEHAVIOR) for session in range(len(twin.units))]
    with torch.no_grad():
        for part, rates in zip(parts, twin(parts), strict=True):
            assert largest_relative(rates, window_by_window(twin, part)) < SHARING


def test_every_stored_tensor_is_loaded_or_dead_for_a_reason(loaded: Loaded) -> None:
    assert all(loaded.dead.values())
    assert not set(map(current_name, loaded.dead)) & set(loaded.twin.state_dict())


LEARNED = ("d03_active_gaborium_resnet_convgrumod", "d06_active_concat_softplus_baseline", "d08_active_pc")


def _old_loss(twin_rates: Tensor, robs: Tensor, dfs: Tensor, log_rate: bool) -> Tensor:
    """The masked Poisson loss as the old system had it: a one-column mask counts once a unit."""
    log = torch.log(twin_rates) if log_rate else torch.log(twin_rates + 1e-8)
    entries = dfs.sum() * (robs.shape[1] if dfs.shape[1] == 1 else 1)
    return ((twin_rates - robs * log) * dfs).sum() / entries


@pytest.mark.parametrize("name", LEARNED)
def test_losses_and_gradients(name: str, legacy_fixtures: Path) -> None:
    twin = load(legacy_fixtures / name).twin
    with np.load(legacy_fixtures / name / "training_reference.npz") as arrays:
        reference = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    losses = []
    for session in range(2):
        stim, behavior, robs, dfs = (reference[f"{key}_{session}"] for key in ("stim", "behavior", "robs", "dfs"))
        losses.append(_old_loss(twin.forward_windows(session, stim, behavior), robs, dfs, twin.config.log_rate))
    mean = torch.stack(losses).mean()
    assert largest_relative(torch.stack(losses).double(), reference["loss_per_dataset"]) < LEARNING
    assert largest_relative(mean.double(), reference["base_loss"]) < LEARNING
    mean.backward()
    compared = 0
    for key, without in reference.items():
        if not key.startswith("grad_is_none/"):
            continue
        old_name = key.removeprefix("grad_is_none/")
        parameter = twin.get_parameter(current_name(old_name.removeprefix("model.")))
        assert parameter.requires_grad != bool(without)
        if not without:
            assert parameter.grad is not None
            expected = reference[f"grad/{old_name}"]
            assert float((parameter.grad - expected).norm() / expected.norm().clamp_min(1e-6)) < LEARNING
            compared += 1
    assert compared == sum(parameter.requires_grad for parameter in twin.parameters())


def test_auxiliary_loss_of_predictive_coding(legacy_fixtures: Path) -> None:
    folder = legacy_fixtures / "d08_active_pc"
    twin = load(folder).twin.train()
    for module in twin.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with np.load(folder / "training_reference.npz") as arrays:
        twin.forward_windows(1, torch.from_numpy(arrays["stim_1"]), torch.from_numpy(arrays["behavior_1"]))
        expected = float(arrays["aux_loss_last_dataset"])
    loss = twin.auxiliary_loss()
    assert loss is not None
    assert loss.requires_grad
    assert twin.config.lambda_pred * float(loss.detach()) == pytest.approx(expected, rel=LEARNING)
    twin.eval().forward_windows(1, torch.zeros(1, 1, 12, SIDE, SIDE), torch.zeros(1, BEHAVIOR))
    assert twin.auxiliary_loss() is None
