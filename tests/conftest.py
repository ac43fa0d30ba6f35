"""One small simulation and one short run on it, which tests of training, evaluation and contracts share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from made_sessions import SIMULATION, settings
from walks.turns import ALL, whose_turn

from vctrain.config.schema import Settings

# How long an example takes says what else the machine does.
hypothesis_settings.register_profile("vctrain", deadline=None)
hypothesis_settings.load_profile("vctrain")

# A shell starts what runs in its background with SIGINT ignored, and the commands that tests start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the walks, those whose turn it is by VCTRAIN_WALKS; before markers are looked at, so that all are counted."""
    turn = os.environ.get("VCTRAIN_WALKS", ALL)
    walks = {item.nodeid for item in items if item.get_closest_marker("walk")}
    left_out = walks - whose_turn(walks, turn)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]


@pytest.fixture(autouse=True)
def console_as_it_was() -> Iterator[None]:
    """What a command was asked to print, where it logged, and which signals it no longer listens to, is forgotten."""
    heard = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)}
    yield
    from vctrain import console

    console.configure()
    for number, handler in heard.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class TinyRun:
    """A finished run: its directory, what `train` returned, and its settings. Tests only read it."""

    folder: Path
    result: dict[str, Any]
    settings: Settings

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset config of two simulated sessions of four units; tests only read it."""
    from vctrain.data.simulation import simulate

    folder = tmp_path_factory.mktemp("tiny") / "sessions"
    simulate(folder, SIMULATION)
    return folder / "dataset.yaml"


@pytest.fixture(scope="session")
def tiny_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """Three short epochs of the small twin on `tiny_data`, on one process."""
    from vctrain.training.fit import train

    chosen = settings(tiny_data)
    folder = tmp_path_factory.mktemp("tiny-run") / "run"
    result = train(chosen, run_dir=folder, provenance={"seed": "--seed"}, argv=["vctrain", "train"])
    return TinyRun(folder, result, chosen)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The digits of a sum depend on the number of threads, which must be that of the ranks."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
