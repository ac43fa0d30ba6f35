"""Learning rate as a pure function of the step."""

from __future__ import annotations

import math

from vctrain.config.schema import OptimConfig


def lr_factor(step: int, total_steps: int, config: OptimConfig) -> float:
    """Multiple of the peak learning rate at optimizer step ``step`` (0-based) of ``total_steps``.

    A linear warm-up of ``warmup_steps`` (never zero: step 0 has ``1 / (warmup_steps + 1)``), then constant, or half a
    cosine that would reach ``final_lr_fraction`` at ``total_steps``, one step after the last: no step is spent at zero.

    >>> [round(lr_factor(s, 4, OptimConfig(warmup_steps=1)), 3) for s in range(4)]
    [0.5, 1.0, 0.75, 0.25]
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "none":
        return 1.0
    span = max(total_steps - config.warmup_steps, 1)
    progress = min((step - config.warmup_steps) / span, 1.0)
    final = config.final_lr_fraction
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
