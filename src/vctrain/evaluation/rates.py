"""What does a twin predict of one session, frame by frame, beside what was counted?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.errors import NumericsError
from vctrain.models.build import AnyTwin
from vctrain.training.loaders import validation_loader


@dataclass(frozen=True)
class Rows:
    """Scored frames of one clip, in order; rates and counts (n, U) are spikes a bin."""

    first: int
    """Number of the first of them among all scored frames of the split."""
    frames: NDArray[np.int64]
    """(n,) global frames."""
    rhat: NDArray[np.float32]
    robs: NDArray[np.float32]
    dfs: NDArray[np.bool_]
    """(n, U): which entries count."""
    rate_true: NDArray[np.float32] | None


def rates_of(
    twin: AnyTwin, session: Session, split: str, device: torch.device, *, types: tuple[str, ...] | None = None
) -> Iterator[Rows]:
    """Every scored frame of ``split`` once, in order, a clip at a time; of some ``types`` of stimulus only, if given.

    ``twin`` is on ``device`` and in evaluation mode. Memory does not grow with frames. Raises NumericsError for rates
    that are not finite.
    """
    scored = session.scored(split, twin.context)
    loader = validation_loader([session], split, twin, 0, 1)
    wanted = None if types is None else np.array([kind in types for kind, _ in session.labels], bool)
    groups = [
        group
        for group in range(loader.n_groups)
        if wanted is None or wanted[session.trials_at(loader.starts(group)[1])].any()
    ]
    for batch in loader.batches(groups):
        _, starts = loader.starts(batch.step)
        part = batch.parts[0]
        with torch.inference_mode():
            rates = twin((part.to(device),))[0].float().cpu().numpy()
        first = scored.count(np.zeros_like(starts), starts)
        number = session.clip_counts(starts, rates.shape[1], twin.context)
        kept = np.ones(len(starts), bool) if wanted is None else wanted[session.trials_at(starts)]
        for clip in np.flatnonzero(kept).tolist():
            frames = np.arange(starts[clip], starts[clip] + rates.shape[1])
            counted = scored.contains(frames)
            # what follows the trial's end belongs to other clips
            counted &= np.cumsum(counted) <= number[clip]
            rhat = rates[clip][counted]
            if not np.isfinite(rhat).all():
                raise NumericsError(
                    f"session {session.name}: predicted rates are not finite",
                    hint="predict with another checkpoint of the run",
                )
            yield Rows(
                int(first[clip]),
                frames[counted],
                rhat,
                part.robs[clip].numpy()[counted],
                np.broadcast_to(part.dfs[clip].numpy() > 0, rates[clip].shape)[counted],
                None if part.rate_true is None else part.rate_true[clip].numpy()[counted],
            )
