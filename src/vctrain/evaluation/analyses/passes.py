"""What does a twin predict on every frame of a session that counts, beside what was observed, clip by clip?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.data.clips import SessionClips
from vctrain.data.intervals import Ints
from vctrain.errors import NumericsError
from vctrain.evaluation.analyses.chosen import Chosen, Part
from vctrain.evaluation.scoring import trimmed
from vctrain.models.adapter import contrast
from vctrain.training.loaders import validation_loader


@dataclass(frozen=True)
class Predicted:
    """Some clips of one session, oldest frame first; all on the CPU."""

    starts: Ints
    """(m,), the global frame of the first scored frame of each clip; m may be smaller than n: the rest only fill up."""
    contrast: Tensor | None
    """(n, T, H, W), of which the last L frames are scored."""
    weights: Tensor
    """(n, L, 2 U): the counts of the chosen units, then their predicted rates, both in spikes a bin."""
    valid: Tensor
    """(n, L, 2 U) bool: what counts."""


def predicted(chosen: Chosen, part: Part, *, context: int = 0, movie: bool = True) -> Iterator[Predicted]:
    """Every scored frame of the split once, with at least ``context`` frames before it. NumericsError for rates that
    are not finite."""
    twin, session = chosen.twin, part.session
    loader = validation_loader([session], chosen.question.split, twin, 0, 1, context=context)
    places = list(part.places)
    for batch in loader:
        clips: SessionClips = batch.parts[0]
        with torch.inference_mode():
            rates = twin((trimmed(clips, loader.context - twin.context).to(chosen.device),))[0].float().cpu()
        valid = (clips.dfs > 0).expand_as(clips.robs)[..., places]
        rates = rates[..., places]
        if not bool(rates[valid].isfinite().all()):
            raise NumericsError(
                f"session {session.name}: predicted rates are not finite", hint="analyse another checkpoint of the run"
            )
        yield Predicted(
            loader.starts(batch.step)[1],
            contrast(clips) if movie else None,
            torch.cat([clips.robs[..., places], torch.where(valid, rates, torch.zeros(()))], dim=2),
            torch.cat([valid, valid], dim=2),
        )


def halves(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Data and model, of an array whose last axis holds the units of both."""
    units = values.shape[-1] // 2
    return values[..., :units], values[..., units:]
