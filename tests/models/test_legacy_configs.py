"""Every model config of the earlier systems, by its name: builds, trains, and leaves no parameter behind.

At an eighth of its width and on a smaller grid, on simulated sessions, with the loss, the optimizer groups and the
initialisation of a run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from models.narrow import named_model
from models.zoo_table import FAMILIES

from vctrain import presets
from vctrain.config.datasets import load_dataset_configs
from vctrain.config.model import ModelConfig
from vctrain.config.schema import InitConfig, OptimConfig
from vctrain.data.clips import ClipBatch, SessionClips
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.models.twin import StoredShape, Twin
from vctrain.training.initialise import initialise
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups

NAMES = tuple(name for family, names in FAMILIES.items() if family != "streaming" for name in names)
GRIDS = {"learned_resnet_wide3_none_convgru_gaussian": 41}
"""Three windows without padding leave nothing of a smaller grid."""
STEPS, BATCHES, FRAMES = 20, 5, 12
DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def small(name: str) -> ModelConfig:
    """The model at an eighth of its width, on a grid of 27 pixels rather than 51."""
    model = named_model(name, by=8)
    if model.adapter.type == "none":
        return model
    return model.model_copy(update={"adapter": model.adapter.model_copy(update={"grid_size": GRIDS.get(name, 27)})})


@lru_cache(maxsize=1)
def opened(path: Path) -> tuple[Session, ...]:
    """Sessions whose scored frames are asked for with the context of each twin."""
    return open_sessions(load_dataset_configs(path), 0, 0.0)


def batches(net: Twin, sessions: Sequence[Session]) -> list[ClipBatch]:
    """``BATCHES`` steps of one clip of every session, spread over its training frames."""
    made = []
    for step in range(BATCHES):
        parts = []
        for session in sessions:
            runs = session.scored("train", net.context).table
            runs = runs[runs[:, 1] - runs[:, 0] >= FRAMES]
            start = runs[step * len(runs) // BATCHES, 0]
            parts.append(clip(net, session, start))
        counts = torch.tensor([float(p.dfs.expand_as(p.robs).sum()) for p in parts], dtype=torch.float64)
        assert bool((counts > 0).all())
        made.append(ClipBatch(step, tuple(parts), counts))
    return made


def clip(net: Twin, session: Session, start: int) -> SessionClips:
    """One clip as loaders gather it for this twin."""
    starts = np.array([start], np.int64)
    return session.gather(
        starts, context=net.context, frames=FRAMES, stim=net.reads_stimulus, history=net.history_frames
    )


def test_every_named_config_is_there_and_documented() -> None:
    assert set(NAMES) <= set(presets.model_names())
    assert len(set(NAMES)) == 29
    assert set(documented()) == set(NAMES)


def documented() -> dict[str, tuple[int, int]]:
    """Context and core parameters of each model, as the table of docs/models.md has them."""
    table = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[2].isdigit():
            names = re.findall(r"`(\w+)`", cells[1]) or re.findall(r"`(\w+)`", cells[0])
            counts = [int(count.replace(",", "")) for count in cells[3].split(";")]
            table |= {name: (int(cells[2]), count) for name, count in zip(names, counts, strict=True)}
    return table


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_at_its_own_width(name: str) -> None:
    """With the context that its own comment states, and the size that the documentation states."""
    model = named_model(name)
    net = Twin(model, [StoredShape("S", 3, 50, 50, 42)])
    stated = re.findall("# Frames before the first scored one:(.*)", presets.find_model(name).read_text())
    assert model.context == net.context == sum(map(int, re.findall(r"\d+", stated[0])))
    size = sum(p.numel() for module in net.core for p in module.parameters())
    assert documented()[name] == (net.context, size)


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_twenty_steps_and_every_parameter_has_a_gradient(name: str, tiny_data: Path) -> None:
    torch.manual_seed(0)
    sessions = opened(tiny_data)
    net = Twin(small(name), sessions)
    initialise(net, sessions, InitConfig(map_minutes=0.2))
    optim = OptimConfig(lr=2e-3, weight_decay=1e-4, schedule="none", warmup_steps=0)
    optimizer = build_optimizer(parameter_groups(net, optim), optim)
    steps = batches(net.train(), sessions)
    moved: set[str] = set()
    losses = []
    for step in range(STEPS):
        batch = steps[step % BATCHES]
        loss = step_loss(session_losses(net(batch.parts), batch), batch, 1) + net.keep_alive(batch.parts)
        auxiliary = net.auxiliary_loss()
        optimizer.zero_grad()
        (loss if auxiliary is None else loss + 0.25 * auxiliary).backward()
        given = {name: p.grad for name, p in net.named_parameters() if p.requires_grad}
        assert [name for name, grad in given.items() if grad is None] == []
        moved |= {name for name, grad in given.items() if bool((grad != 0).any())}
        torch.nn.utils.clip_grad_norm_(net.parameters(), optim.grad_clip)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert {name for name, p in net.named_parameters() if p.requires_grad} - moved == set()
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


@pytest.mark.parametrize("name", NAMES)
def test_its_gradients_are_finite_in_half_precision(name: str, tiny_data: Path) -> None:
    """Where they are not, a gradient scaler puts off every step, and nothing is ever learned (defect A11)."""
    torch.manual_seed(0)
    sessions = opened(tiny_data)
    net = Twin(small(name), sessions)
    batch = batches(net.train(), sessions)[0]
    with torch.autocast("cpu", torch.float16):
        loss = step_loss(session_losses(net(batch.parts), batch), batch, 1)
    (loss * 64).backward()
    assert [n for n, p in net.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())] == []
