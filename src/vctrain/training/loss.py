"""The training loss: Poisson negative log-likelihood, the same on any number of processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vctrain.data.clips import ClipBatch
from vctrain.metrics.poisson import RATE_FLOOR


def poisson_sum(rate: Tensor, robs: Tensor, dfs: Tensor) -> Tensor:
    """Sum over valid entries of ``rate - robs * ln max(rate, 1e-8)``; ``rate``, ``robs`` ``(n, L, U)``, ``dfs``
    ``(n, L, 1|U)``."""
    nll = rate - robs * rate.clamp_min(RATE_FLOOR).log()
    return (nll * dfs).sum()


def session_losses(rates: Sequence[Tensor], batch: ClipBatch) -> list[Tensor]:
    """This process's share of each session's loss: its masked sum over the mask count *of all processes*.

    Summed over processes, a share becomes the masked mean of the session; see `step_loss`.
    """
    return [
        poisson_sum(rate, part.robs, part.dfs) / max(float(batch.counts[part.session]), 1.0)
        for rate, part in zip(rates, batch.parts, strict=True)
    ]


def step_weights(batch: ClipBatch) -> list[float]:
    """What each session's masked mean weighs in the step's loss, summing to 1 over the sessions with a valid entry: as
    `batch.weights` declares, all the same without it. Equal on all processes."""
    declared = torch.ones_like(batch.counts) if batch.weights is None else batch.weights
    present = torch.where(batch.counts > 0, declared, torch.zeros_like(declared))
    total = float(present.sum())
    return [weight / total if total else 0.0 for weight in present.tolist()]


def step_loss(shares: Sequence[Tensor], batch: ClipBatch, world_size: int) -> Tensor:
    """Weighted mean over the sessions with a valid entry in this step of the session's masked mean; see
    `step_weights`.

    DDP averages gradients over processes, so the share is multiplied by their number: the averaged gradient is then
    the gradient of the whole step's loss, whatever the split of clips over processes (defect A9 of the system before
    this one).
    """
    weights = step_weights(batch)
    weighed = [share * weights[part.session] for share, part in zip(shares, batch.parts, strict=True)]
    return torch.stack(weighed).sum() * world_size
