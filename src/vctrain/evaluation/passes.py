"""What does a twin predict for a session, clip by clip, beside what was counted?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vctrain.data.clips import SessionClips
from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import NumericsError
from vctrain.evaluation.scoring import trimmed
from vctrain.models.adapter import contrast
from vctrain.models.build import AnyTwin
from vctrain.training.loaders import validation_loader

Wanted = Callable[[int, int, str], bool]
"""Whether the clip with scored frames [start, stop), of a type of stimulus, is to be predicted."""


@dataclass(frozen=True)
class Predicted:
    """Clips of a session, oldest frame first, and what is predicted for K of its units; spikes a bin, on the CPU."""

    starts: Ints
    """(n,): first scored frame of each clip."""
    kinds: tuple[str, ...]
    """(n,): type of stimulus of each clip."""
    robs: Tensor
    """(n, L, K) float32."""
    rhat: Tensor
    """(n, L, K) float32."""
    rate_true: Tensor | None
    """(n, L, K) float32; None where it is not known."""
    counted: Tensor
    """(n, L, K) bool: which entries are scored."""
    clips: SessionClips

    @property
    def contrast(self) -> Tensor | None:
        """(n, T, H, W) float32, of which the last L frames are scored; None for a twin that reads no stimulus."""
        return None if self.clips.stim is None else contrast(self.clips)[: len(self.starts)]

    def weights(self) -> tuple[Tensor, Tensor]:
        """What averages of data and twin weigh frames by: counts, then predicted rates, (n, L, 2 K), 0 where they do
        not count, and where they do."""
        counted = self.counted.repeat(1, 1, 2)
        # 0 * NaN is NaN, and what is not scored may be anything
        return torch.where(counted, torch.cat([self.robs, self.rhat], dim=2), torch.zeros(())), counted


def predictions(
    twin: AnyTwin,
    session: Session,
    split: str,
    device: torch.device,
    *,
    units: Sequence[int] | None = None,
    context: int = 0,
    wanted: Wanted | None = None,
) -> Iterator[Predicted]:
    """Every scored frame of ``split`` once, in order, in the clips of the evaluation; for ``units`` (places in the
    session), or all.

    ``twin`` is on ``device`` and in evaluation mode. Clips have at least ``context`` frames before the scored ones. Of
    a group in which nothing is ``wanted`` nothing is read; what else is in a group comes along. Memory does not grow
    with frames. Raises NumericsError for rates that are not finite.
    """
    loader = validation_loader([session], split, twin, 0, 1, context=context)

    def kinds_of(group: int) -> tuple[str, ...]:
        starts = loader.starts(group)[1]
        return tuple(session.labels[trial][0] for trial in session.trials_at(starts).tolist())

    def is_wanted(group: int) -> bool:
        starts = loader.starts(group)[1].tolist()
        pairs = zip(starts, kinds_of(group), strict=True)
        return wanted is None or any(wanted(start, start + loader.frames_of(group), kind) for start, kind in pairs)

    columns = slice(None) if units is None else list(units)
    for batch in loader.batches([group for group in range(loader.n_groups) if is_wanted(group)]):
        starts = loader.starts(batch.step)[1]
        part = batch.parts[0]
        with torch.inference_mode():
            rates = twin((trimmed(part, loader.context - twin.context).to(device),))[0].float().cpu()
        # the last group is filled up with clips that count nothing
        real = slice(len(starts))
        counted = (part.dfs > 0).expand_as(part.robs)[real][..., columns]
        rhat = rates[real][..., columns]
        if not bool(rhat[counted].isfinite().all()):
            raise NumericsError(
                f"session {session.name}: predicted rates are not finite", hint="use another checkpoint of the run"
            )
        yield Predicted(
            starts=starts,
            kinds=kinds_of(batch.step),
            robs=part.robs[real][..., columns],
            rhat=rhat,
            rate_true=None if part.rate_true is None else part.rate_true[real][..., columns],
            counted=counted,
            clips=part,
        )
