"""What happens to a step whose loss or gradient is not finite? It is skipped on all processes alike, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vctrain import console
from vctrain.data.clips import ClipBatch
from vctrain.errors import NumericsError

if TYPE_CHECKING:
    from vctrain.training.module import TwinModule

_LISTED_UNITS = 6


class Skipping:
    """Looks at the gradient before every optimizer step; ends the run after more than `limit` skipped steps in a row.

    Gradients are summed over processes before they are looked at, so all processes see the same and decide alike.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_a_row = 0
        self.failure: NumericsError | None = None
        """What ends the run at the boundary after this step, when its state is whole again and can be saved."""
        self._last: tuple[ClipBatch, list[Tensor]] | None = None

    def remember(self, batch: ClipBatch, rates: Sequence[Tensor]) -> None:
        """Keep what is needed to name what went wrong."""
        self._last = (batch, [rate.detach() for rate in rates])

    def before_step(self, module: TwinModule) -> None:
        """Take the gradients away if they are not finite; sets `failure` when too many steps in a row were skipped."""
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if not gradients:
            return
        if bool(torch.stack(torch._foreach_norm(gradients)).isfinite().all()):
            self.in_a_row = 0
            return
        broken = self._broken(module)
        if not broken and module.trainer.precision == "16-mixed":
            # An overflow of half precision: the gradient scaler skips the step and lowers its scale.
            return
        module.zero_grad(set_to_none=True)
        self.in_a_row += 1
        step = module.trainer.global_step
        what = f"the loss is not finite ({'; '.join(broken)})" if broken else "the gradient is not finite"
        if self.in_a_row <= self.limit:
            console.warn(f"step {step}: {what}; skipped, {self.in_a_row} in a row of at most {self.limit}")
            return
        kept = Path(module.trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        self.failure = NumericsError(
            f"step {step}: {what}; {self.in_a_row} steps in a row could not be taken",
            hint=f"lower optim.lr or optim.grad_clip, or use --set trainer.precision=32-true; the state is in {kept}",
        )

    def _broken(self, module: TwinModule) -> list[str]:
        """The sessions and units whose rates are not finite, on all processes."""
        named = []
        if self._last is not None:
            batch, rates = self._last
            for part, rate in zip(batch.parts, rates, strict=True):
                bad = (~rate.isfinite() & (part.dfs > 0)).any(0).any(0) | (~part.robs.isfinite()).any(0).any(0)
                units = torch.nonzero(bad).flatten().tolist()
                if units:
                    cids = self._cids(module, part.session)
                    shown = ", ".join(str(cids[unit]) for unit in units[:_LISTED_UNITS])
                    more = f" and {len(units) - _LISTED_UNITS} more" if len(units) > _LISTED_UNITS else ""
                    named.append(f"session {module.twin.names[part.session]}: cids {shown}{more}")
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return named
        everywhere: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(everywhere, named)
        return list(dict.fromkeys(text for found in everywhere for text in found))

    @staticmethod
    def _cids(module: TwinModule, session: int) -> Sequence[int]:
        stored = module.content.get("sessions")
        return range(module.twin.units[session]) if not stored else stored[session]["cids"]
