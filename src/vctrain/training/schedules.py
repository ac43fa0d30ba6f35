"""Learning rate as a pure function of the step, and of the validations where a schedule waits for them."""

from __future__ import annotations

import math
from typing import Any

from vctrain.config.schema import OptimConfig


def lr_factor(step: int, total_steps: int, config: OptimConfig, steps_per_epoch: int = 1) -> float:
    """Multiple of the peak learning rate at optimizer step ``step`` (0-based) of ``total_steps``.

    A linear warm-up of ``warmup_steps`` (never zero: step 0 has ``1 / (warmup_steps + 1)``), then as ``schedule`` says:
    constant (``none``, and ``plateau``, whose falls `Plateau` adds); ``step``: times ``decay_factor`` after every
    ``decay_epochs`` epochs of the run; half a cosine that would reach ``final_lr_fraction`` at ``total_steps``, one
    step after the last, so that no step is spent at zero; or such cosines one after the other (Loshchilov and Hutter
    2017).

    >>> [round(lr_factor(s, 4, OptimConfig(warmup_steps=1)), 3) for s in range(4)]
    [0.5, 1.0, 0.75, 0.25]
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule in ("none", "plateau"):
        return 1.0
    if config.schedule == "step":
        return config.decay_factor ** (step // (config.decay_epochs * steps_per_epoch))
    since, span = step - config.warmup_steps, max(total_steps - config.warmup_steps, 1)
    if config.schedule == "cosine_warmup_restart":
        span = max(span // 2, 1) if config.restart_epochs is None else config.restart_epochs * steps_per_epoch
        since %= span
    final = config.final_lr_fraction
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * min(since / span, 1.0)))


class Plateau:
    """A multiple of the learning rate that falls by ``decay_factor`` when val_bps_overall has not improved for more
    than ``plateau_patience`` validations; 1 under any other schedule."""

    def __init__(self, config: OptimConfig) -> None:
        self.config = config
        self.factor, self.best, self.waited = 1.0, -math.inf, 0

    def see(self, score: float) -> None:
        """Take in the figure of a validation."""
        if self.config.schedule != "plateau":
            return
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited > self.config.plateau_patience:
            self.factor, self.waited = self.factor * self.config.decay_factor, 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"factor": self.factor, "best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.factor, self.best, self.waited = state["factor"], state["best"], state["waited"]
