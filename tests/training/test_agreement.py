"""All processes stop and save at the same boundary, whichever of them was told."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from vctrain.runs.supervisor import run_ranks
from vctrain.training.agreement import Agreement, Decision


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The started processes find `agreement_jobs`."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("told", "at", "seconds", "saves"),
    [(0, 7, 0.002, False), (1, 7, 0.002, False), (2, 1, 0.1, False), (9, 5, 0.01, True)],
)
def test_all_stop_at_the_same_boundary(told: int, at: int, seconds: float, saves: bool) -> None:
    arguments = {"told": told, "at": at, "seconds": seconds, "saves": saves}
    everywhere = run_ranks("agreement_jobs:count", arguments, 3)["everywhere"]
    assert len({tuple(where) for where in everywhere}) == 1
    (stopped, saved) = everywhere[0]
    assert stopped >= at
    assert (saved > 0) == saves
    # twice a second, on the slowest of three
    assert (stopped - at) * seconds < 5


def test_one_process_is_asked_at_every_boundary() -> None:
    wants = [False, True, True]
    agreement = Agreement(lambda: wants[0], lambda: wants[1])
    agreement.join()
    assert agreement.boundary() == Decision(stop=False, save=True)
    wants[:2] = [True, False]
    assert agreement.boundary() == Decision(stop=True, save=False)


def test_messages_are_about_half_a_second_apart(monkeypatch) -> None:
    """By the clock of the first process, whose pace all of them follow."""
    now, messages = [0.0], []
    agreement = Agreement(lambda: False, lambda: False, clock=lambda: now[0])
    agreement._alone = False
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda *arguments, **more: messages.append(now[0]))
    agreement.start_over()
    for _ in range(2000):
        now[0] += 0.01
        agreement.boundary()
    gaps = [after - before for before, after in pairwise(messages[1:])]
    assert gaps
    assert all(0.4 < gap < 0.6 for gap in gaps)
    agreement.start_over()
    agreement.boundary()
    assert messages[-1] == now[0]
