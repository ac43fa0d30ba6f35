"""What Lightning drives: a training step, an exact validation, the optimizer, and what a checkpoint carries."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from vctrain.config.schema import Settings
from vctrain.data.clips import ClipBatch
from vctrain.errors import NumericsError
from vctrain.metrics.bps import PoissonSums
from vctrain.models.build import AnyTwin
from vctrain.models.twin import Twin
from vctrain.training.collected import Collected, nothing, together
from vctrain.training.counters import loops_at
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.optimizer import build_optimizer, parameter_groups
from vctrain.training.regularizers import Matched, kept_from_decay, match, penalties, proximal_step
from vctrain.training.schedules import Plateau, lr_factor
from vctrain.training.seeds import step_seed
from vctrain.training.skipping import Skipping
from vctrain.training.touched import lambda_pred
from vctrain.training.validation import ValidationResult


class TwinModule(pl.LightningModule):
    """A twin in training.

    ``content`` is what makes its checkpoints self-describing (see `vctrain.runs.checkpoints`).
    """

    def __init__(self, twin: AnyTwin, settings: Settings, content: dict[str, Any]) -> None:
        super().__init__()
        self.twin = twin
        if isinstance(twin, Twin):
            twin.compiles = settings.trainer.compile
        self.settings = settings
        self.total_steps = settings.trainer.max_epochs * settings.trainer.steps_per_epoch
        self.content = content
        self.regularized: list[Matched] = []
        self.plateau = Plateau(settings.optim)
        self.skipping = Skipping(settings.trainer.max_skipped_steps)
        self.sums: list[PoissonSums] = []
        self.oracle: list[PoissonSums | None] = []
        self.results: ValidationResult | None = None
        self.collected = Collected(twin.units)
        self.validated_step = -1
        """The step of the last validation that is over."""
        self.validation_is_due = False
        """Whether a resumed run owes the validation at its step."""
        self._bps_before: float | None = None
        self._present: set[int] = set()

    @property
    def epoch(self) -> int:
        """The epoch that the schedules of the regularizers see (0-based), from the optimizer step alone."""
        return self.trainer.global_step // self.settings.trainer.steps_per_epoch

    @property
    def finished_epoch(self) -> int:
        """The epoch of the step taken last (0-based), from the optimizer step alone."""
        return (self.trainer.global_step - 1) // self.settings.trainer.steps_per_epoch

    def transfer_batch_to_device(self, batch: ClipBatch, device: torch.device, dataloader_idx: int) -> ClipBatch:
        # Lightning moves what is not a tensor with a copy that waits: 3 to 5 waits a session in every step
        return batch.to(device, non_blocking=device.type == "cuda")

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        seed = step_seed(self.settings.seed, batch.step, self.trainer.global_rank)
        # torch.manual_seed would note the whole stack of calls for each kind of device that is not in use
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        rates = self.twin(batch.parts)
        shares = session_losses(rates, batch)
        loss = step_loss(shares, batch, self.trainer.world_size)
        self.collected.entries += batch.counts
        self._present.update(torch.nonzero(batch.counts).flatten().tolist())
        self.skipping.remember(batch, rates)
        self.collected.add_loss(loss)
        for name, term in self._extra_terms().items():
            loss = loss + term
            self.collected.add_term(name, term)
        return loss + self.twin.keep_alive(batch.parts)

    def _extra_terms(self) -> dict[str, Tensor]:
        """What the loss holds beside the likelihood: penalties, and the error of predictive coding over the scored
        frames of all sessions on all processes (defect A10 took those of the last session)."""
        terms = {f"penalty/{name}": term for name, term in penalties(self.regularized, self.epoch).items()}
        sums = self.twin.auxiliary_sums()
        if sums is not None:
            total, count = sums
            everywhere = self._sum_over_processes(count.detach().clone()).clamp_min(1.0)
            terms["aux_loss"] = self.lambda_pred * self.trainer.world_size * total / everywhere
        return terms

    @property
    def lambda_pred(self) -> float:
        """Weight of the auxiliary loss."""
        return lambda_pred(self.settings, self.twin.config)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # A session without a valid entry in this step is not updated by it: no moments, no decay. Nor is the core,
        # when there is no valid entry at all.
        silent = set(range(len(self.twin.names))) - self._present
        self._present = set()
        if len(silent) == len(self.twin.names):
            self.zero_grad(set_to_none=True)
        for session in silent:
            for parameter in self.twin.own_parameters(session):
                parameter.grad = None
        self.skipping.before_step(self)

    def take_means(self) -> dict[str, float]:
        """Since the last call, over all processes: the mean training loss (``train_loss``) and the means of what is
        added to it, by name."""
        return self.collected.take_means(self._sum_over_processes)

    def take_seen_frames(self) -> list[float]:
        """Scored training frames of each session since the last call, over all processes (entries over units)."""
        return self.collected.take_frames()

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
        """Scores of the whole split, from the sums of all processes. Raises NumericsError if they are not finite."""
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
        self.validated_step = self.trainer.global_step
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.plateau.see(value)
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
        optim, per_epoch = self.settings.optim, self.settings.trainer.steps_per_epoch
        self.regularized = match(self.twin, self.settings.regularization)
        groups = parameter_groups(self.twin, optim, kept_from_decay(self.regularized))
        optimizer = build_optimizer(groups, optim, mixed=self.trainer.precision != "32-true")
        # Called once for every step that is really taken, also where a gradient scaler skips some (defects A11, A12).
        optimizer.register_step_post_hook(lambda *_: proximal_step(self.regularized, self.epoch, optimizer))

        def factor(step: int) -> float:
            return lr_factor(step, self.total_steps, optim, per_epoch) * self.plateau.factor

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        bps = self._bps_before if self.results is None else self.results.bps_overall
        step = self.trainer.global_step
        progress = {
            "step": step,
            "validated": self.validated_step == step,
            "skipped_in_a_row": self.skipping.in_a_row,
            "collected": self._of_all_processes(self.collected.state()),
        }
        stored = {**self.content, "val_bps_overall": bps, "plateau": self.plateau.state(), "progress": progress}
        checkpoint["vctrain"] = stored
        trainer = self.settings.trainer
        checkpoint["epoch"] = max(self.finished_epoch, 0)
        checkpoint["loops"] = {"fit_loop": loops_at(step, trainer.steps_per_epoch, trainer.accumulate)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = checkpoint["vctrain"]
        progress = stored["progress"]
        self._bps_before = stored["val_bps_overall"]
        self.plateau.restore(stored["plateau"])
        self.skipping.in_a_row = progress["skipped_in_a_row"]
        states, rank, processes = progress["collected"], self.trainer.global_rank, self.trainer.world_size
        if len(states) != processes:
            states = [together(states), *[nothing(len(self.twin.units))] * (processes - 1)]
        self.collected.restore(states[rank])
        step, per_epoch = progress["step"], self.settings.trainer.steps_per_epoch
        self.validated_step = step if progress["validated"] else -1
        self.validation_is_due = step > 0 and step % per_epoch == 0 and not progress["validated"]

    def _of_all_processes(self, mine: dict[str, Any]) -> list[dict[str, Any]]:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return [mine]
        everywhere: list[dict[str, Any]] = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(everywhere, mine)
        return everywhere
