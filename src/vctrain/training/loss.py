"""The training loss: Poisson negative log-likelihood, the same on any number of processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vctrain.data.clips import ClipBatch
from vctrain.metrics.poisson import RATE_FLOOR


def poisson_sums(rates: Sequence[Tensor], robs: Sequence[Tensor], dfs: Sequence[Tensor]) -> Tensor:
    """For each session ``(S,)`` the sum over its valid entries of ``rate - robs * ln max(rate, 1e-8)``; ``rates`` and
    ``robs`` ``(n, L, U)``, ``dfs`` ``(n, L, 1|U)``.

    All entries of all sessions lie end to end, so that the operators are as many for twenty sessions as for one.
    """
    rate = torch.cat([x.flatten() for x in rates])
    counts = torch.cat([x.flatten() for x in robs])
    mask = torch.cat([x.expand_as(own).flatten() for x, own in zip(dfs, rates, strict=True)])
    nll = (rate - counts * rate.clamp_min(RATE_FLOOR).log()) * mask
    return torch.stack([own.sum() for own in nll.split([x.numel() for x in rates])])


def session_losses(rates: Sequence[Tensor], batch: ClipBatch) -> list[Tensor]:
    """This process's share of each session's loss: its masked sum over the mask count *of all processes*.

    Summed over processes, a share becomes the masked mean of the session; see `step_loss`.
    """
    counts = batch.counts.tolist()
    sums = poisson_sums(rates, [part.robs for part in batch.parts], [part.dfs for part in batch.parts])
    return list((sums / _beside([max(counts[part.session], 1.0) for part in batch.parts], sums)).unbind())


def step_weights(batch: ClipBatch) -> list[float]:
    """What each session's masked mean weighs in the step's loss, summing to 1 over the sessions with a valid entry: as
    `batch.weights` declares, all the same without it. Equal on all processes."""
    counts = batch.counts.tolist()
    declared = [1.0] * len(counts) if batch.weights is None else batch.weights.tolist()
    present = [weight if count > 0 else 0.0 for weight, count in zip(declared, counts, strict=True)]
    total = sum(present)
    return [weight / total if total else 0.0 for weight in present]


def step_loss(shares: Sequence[Tensor], batch: ClipBatch, world_size: int) -> Tensor:
    """Weighted mean over the sessions with a valid entry in this step of the session's masked mean; see
    `step_weights`.

    DDP averages gradients over processes, so the share is multiplied by their number: the averaged gradient is then
    the gradient of the whole step's loss, whatever the split of clips over processes (defect A9 of the system before
    this one).
    """
    weights = step_weights(batch)
    together = torch.stack(list(shares))
    return (together * _beside([weights[part.session] for part in batch.parts], together)).sum() * world_size


def _beside(values: Sequence[float], x: Tensor) -> Tensor:
    """``values`` in the type of ``x`` and on its device, brought there without waiting for it."""
    return torch.tensor(values, dtype=x.dtype).to(x.device, non_blocking=True)
