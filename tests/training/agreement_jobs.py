"""What the processes of `test_agreement` do; imported by them."""

from __future__ import annotations

import os
import time
from typing import Any

import torch

from vctrain.training.agreement import Agreement


def count(told: int, at: int, seconds: float, saves: bool) -> dict[str, Any]:
    """Boundaries until all stop; only process ``told`` is, after ``at`` boundaries of its own. Steps of the processes
    take different times."""
    rank, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo")
    passed = 0
    agreement = Agreement(lambda: rank == told and passed >= at, lambda: saves and passed >= at)
    agreement.join()
    stopped = saved = 0
    while not stopped:
        time.sleep(seconds * (1 + rank))
        passed += 1
        decided = agreement.boundary()
        saved = saved or (passed if decided.save else 0)
        stopped = passed if decided.stop or (saves and saved) else 0
    everywhere: list[Any] = [None] * processes
    torch.distributed.all_gather_object(everywhere, [stopped, saved])
    torch.distributed.destroy_process_group()
    return {"everywhere": everywhere}
