"""What Lightning drives: a training step, an exact validation, the optimizer, and what a checkpoint carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from vctrain.config.schema import OptimConfig
from vctrain.data.clips import ClipBatch
from vctrain.errors import NumericsError
from vctrain.metrics.bps import PoissonSums, mean_over_units, overall
from vctrain.models.twin import Twin
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.schedules import lr_factor

CHECK_EVERY = 50
"""Steps between looks at the loss: each look waits for the device."""


class TwinModule(pl.LightningModule):
    """A twin in training.

    ``content`` is what makes its checkpoints self-describing (see `vctrain.runs.checkpoints`).
    """

    def __init__(self, twin: Twin, optim: OptimConfig, total_steps: int, content: dict[str, Any]) -> None:
        super().__init__()
        self.twin = twin
        self.optim = optim
        self.total_steps = total_steps
        self.content = content
        self.sums: list[PoissonSums] = []
        self.oracle: list[PoissonSums | None] = []
        self.results: ValidationResult | None = None
        self.running_loss = torch.zeros(())
        self.running_steps = 0
        self._silent: list[int] = []

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        rates = self.twin(batch.parts)
        shares = session_losses(rates, batch)
        loss = step_loss(shares, batch, self.trainer.world_size)
        self._silent = [i for i, count in enumerate(batch.counts.tolist()) if count == 0]
        self.running_loss = self.running_loss.to(loss.device) + loss.detach()
        self.running_steps += 1
        if self.running_steps % CHECK_EVERY == 0:
            self._refuse_nonfinite(batch, shares)
        return loss + self.twin.keep_alive(batch.parts)

    def _refuse_nonfinite(self, batch: ClipBatch, shares: Sequence[Tensor]) -> None:
        if math.isfinite(float(self.running_loss)):
            return
        broken = [self.twin.names[p.session] for p, s in zip(batch.parts, shares, strict=True) if not s.isfinite()]
        raise NumericsError(
            f"step {self.trainer.global_step}: the loss is not finite "
            f"(sessions now affected: {', '.join(broken) or 'none'})",
            hint="lower optim.lr, lower optim.grad_clip, or use --set trainer.precision=32-true",
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # A session without a valid entry in this step is not updated by it: no moments, no decay. Nor is the core,
        # when there is no valid entry at all.
        if len(self._silent) == len(self.twin.names):
            self.zero_grad(set_to_none=True)
        for session in self._silent:
            for module in (self.twin.adapters[session], self.twin.readouts[session]):
                for parameter in module.parameters():
                    parameter.grad = None

    def take_mean_loss(self) -> float:
        """Mean training loss since the last call, over all processes."""
        pair = torch.stack([self.running_loss.double(), self.running_loss.new_tensor(self.running_steps).double()])
        total, steps = self._sum_over_processes(pair).tolist()
        self.running_loss, self.running_steps = torch.zeros_like(self.running_loss), 0
        return total / steps if steps else math.nan

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(values)
        return values

    def on_validation_epoch_start(self) -> None:
        units = self.twin.units
        self.sums = [PoissonSums.zeros(n, self.device) for n in units]
        self.oracle_sums = [PoissonSums.zeros(n, self.device) for n in units]
        self.with_oracle = torch.zeros(len(units), dtype=torch.float64, device=self.device)

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        for part, rate in zip(batch.parts, self.twin(batch.parts), strict=True):
            self.sums[part.session] += PoissonSums.of(rate, part.robs, part.dfs)
            if part.rate_true is not None:
                self.oracle_sums[part.session] += PoissonSums.of(part.rate_true, part.robs, part.dfs)
                self.with_oracle[part.session] = 1.0

    def on_validation_epoch_end(self) -> None:
        stacked = torch.cat([s.stacked() for s in (*self.sums, *self.oracle_sums)], dim=1)
        stacked = self._sum_over_processes(stacked)
        if not bool(stacked.isfinite().all()):
            self._refuse_prediction(stacked)
        merged = [PoissonSums.from_stacked(s) for s in stacked.split([s.spikes.numel() for s in self.sums] * 2, dim=1)]
        n = len(self.sums)
        known = self._sum_over_processes(self.with_oracle).tolist()
        oracle = [merged[n + i] if known[i] else None for i in range(n)]
        self.results = ValidationResult(self.twin.names, merged[:n], oracle)
        value = self.results.bps_overall
        if value is None or not math.isfinite(value):
            raise NumericsError(
                f"step {self.trainer.global_step}: val_bps_overall is {value}",
                hint="lower optim.lr or use --set trainer.precision=32-true",
            )
        self.log("val_bps_overall", torch.tensor(value, dtype=torch.float64), sync_dist=False)

    def _refuse_prediction(self, stacked: Tensor) -> None:
        """A NaN among the sums would look like a unit without spikes and leave the mean, so it ends the
        validation."""
        sizes = [s.spikes.numel() for s in self.sums]
        named = [
            f"{name} (unit at position {int((~part.isfinite()).any(0).nonzero()[0])})"
            for name, part in zip(self.twin.names, stacked[:, : sum(sizes)].split(sizes, dim=1), strict=True)
            if not bool(part.isfinite().all())
        ]
        raise NumericsError(
            f"step {self.trainer.global_step}: predicted rates are not finite in {', '.join(named) or 'rate_true'}",
            hint="lower optim.lr or use --set trainer.precision=32-true",
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = build_optimizer(parameter_groups(self.twin, self.optim), self.optim)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: lr_factor(step, self.total_steps, self.optim)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        bps = None if self.results is None else self.results.bps_overall
        checkpoint["vctrain"] = {**self.content, "val_bps_overall": bps}


class ValidationResult:
    """Exact figures of one pass over a split, from merged sums; ``oracle`` is None where the true rate is unknown."""

    def __init__(self, names: Sequence[str], sums: Sequence[PoissonSums], oracle: Sequence[PoissonSums | None]) -> None:
        self.names = tuple(names)
        self.sums = tuple(sums)
        self.oracle_sums = tuple(oracle)
        self.bps = [s.bits_per_spike() for s in sums]
        self.by_session = {name: mean_over_units(bps) for name, bps in zip(names, self.bps, strict=True)}
        self.bps_overall = overall(list(self.by_session.values()))
        known = [o for o in oracle if o is not None]
        self.oracle_overall: float | None = None
        self.fraction_of_oracle: float | None = None
        if known:
            self.oracle_overall = overall([mean_over_units(o.bits_per_spike()) for o in known])
            # The ratio compares the same units and frames: sessions without a known rate stay out of both.
            same = overall([mean_over_units(b) for b, o in zip(self.bps, oracle, strict=True) if o is not None])
            if same is not None and self.oracle_overall:
                self.fraction_of_oracle = same / self.oracle_overall
