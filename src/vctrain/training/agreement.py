"""When do all processes stop or save? At the same step, however few of them were told.

Looking together costs a message, so it is done about twice a second. Rank 0's clock paces it, and the pace is part of
the message: every process always knows when the next one is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_PERIOD_SECONDS = 0.5
_MOST_BOUNDARIES = 1000


@dataclass(frozen=True)
class Decision:
    """What all processes do now."""

    stop: bool = False
    save: bool = False


class Agreement:
    """To be asked at every boundary, by all processes alike.

    ``wants_stop`` may say yes on any process; ``wants_save`` is heard on rank 0 alone.
    """

    def __init__(
        self,
        wants_stop: Callable[[], bool],
        wants_save: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wants_stop, self._wants_save, self._clock = wants_stop, wants_save, clock
        self._group: torch.distributed.ProcessGroup | None = None
        self._alone = True
        self.start_over()

    def join(self) -> None:
        """Meet the other processes; messages go over the CPU, so that a GPU need not be waited for."""
        self._alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        if not self._alone:
            on_cpu = torch.distributed.get_backend() == "gloo"
            self._group = None if on_cpu else torch.distributed.new_group(backend="gloo")

    def start_over(self) -> None:
        """The next boundary is looked at together: the pace of what follows is not known."""
        self._until_next, self._passed, self._since = 1, 0, self._clock()

    def boundary(self) -> Decision:
        """What is decided at this boundary."""
        self._passed += 1
        if self._alone:
            return Decision(self._wants_stop(), self._wants_save())
        if self._passed < self._until_next:
            return Decision()
        first = torch.distributed.get_rank() == 0
        seconds = max(self._clock() - self._since, 1e-6) / self._passed
        pace = min(max(int(_PERIOD_SECONDS / seconds), 1), _MOST_BOUNDARIES)
        message = torch.tensor([int(self._wants_stop()), int(first and self._wants_save()), pace if first else 0])
        torch.distributed.all_reduce(message, torch.distributed.ReduceOp.MAX, group=self._group)
        stop, save, self._until_next = (int(value) for value in message.tolist())
        self._passed, self._since = 0, self._clock()
        return Decision(bool(stop), bool(save))
