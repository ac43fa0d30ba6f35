"""What training adds up between two validations: losses, what is added to them, and the entries that were scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Collected:
    """Sums of this process, in float64; a part of every checkpoint, so that a resumed run reports the same means."""

    def __init__(self, units: Sequence[int]) -> None:
        self.units = tuple(units)
        self._clear()
        self.entries = torch.zeros(len(self.units), dtype=torch.float64)

    def _clear(self) -> None:
        self.loss, self.steps = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        self.terms: dict[str, Tensor] = {}

    def add_loss(self, loss: Tensor) -> None:
        """The loss of a step, unless it is not finite."""
        finite = loss.detach().isfinite()
        self.loss = self.loss.to(loss.device) + torch.where(finite, loss.detach(), 0.0).double()
        self.steps = self.steps.to(loss.device) + finite

    def add_term(self, name: str, term: Tensor) -> None:
        """What was added to the loss of a step under this name."""
        before = self.terms.get(name, torch.zeros((), dtype=torch.float64))
        self.terms[name] = before.to(term.device) + term.detach().double()

    def take_means(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """``train_loss`` and the mean of every term a step, over all processes; starts over."""
        names = sorted(self.terms)
        summed = over_processes(torch.stack([self.loss, self.steps, *(self.terms[name] for name in names)])).tolist()
        steps = max(summed[1], 1.0)
        means = {"train_loss": summed[0] / steps if summed[1] else math.nan}
        means |= {name: total / steps for name, total in zip(names, summed[2:], strict=True)}
        self._clear()
        return means

    def take_frames(self) -> list[float]:
        """Scored frames of each session (entries over units); starts over."""
        frames: list[float] = (self.entries / torch.tensor(self.units, dtype=torch.float64)).tolist()
        self.entries = torch.zeros_like(self.entries)
        return frames

    def state(self) -> dict[str, Any]:
        """Plain numbers."""
        terms = {name: float(term) for name, term in self.terms.items()}
        return {
            "loss": float(self.loss),
            "steps": float(self.steps),
            "terms": terms,
            "entries": self.entries.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.loss = torch.tensor(state["loss"], dtype=torch.float64)
        self.steps = torch.tensor(state["steps"], dtype=torch.float64)
        self.terms = {name: torch.tensor(term, dtype=torch.float64) for name, term in state["terms"].items()}
        self.entries = torch.tensor(state["entries"], dtype=torch.float64)


def together(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of several processes as those of one; ``entries`` are the same on all of them.

    >>> one = {"loss": 1.0, "steps": 2.0, "terms": {"aux_loss": 0.5}, "entries": [8.0]}
    >>> together([one, one])
    {'loss': 2.0, 'steps': 4.0, 'terms': {'aux_loss': 1.0}, 'entries': [8.0]}
    """
    first = states[0]
    return {
        "loss": sum(state["loss"] for state in states),
        "steps": sum(state["steps"] for state in states),
        "terms": {name: sum(state["terms"][name] for state in states) for name in first["terms"]},
        "entries": first["entries"],
    }


def nothing(units: int) -> dict[str, Any]:
    """The state of a process that has added up nothing."""
    return {"loss": 0.0, "steps": 0.0, "terms": {}, "entries": [0.0] * units}
