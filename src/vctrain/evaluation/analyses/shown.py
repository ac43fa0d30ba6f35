"""How does a twin answer to a stimulus that nobody recorded, with behaviour and past spikes held at their means?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.data.clips import MEAN_GREY, SessionClips
from vctrain.data.rates import training_rates
from vctrain.data.session import Session
from vctrain.errors import ContractError, NumericsError
from vctrain.models.adapter import GREY_RANGE
from vctrain.models.build import AnyTwin

DARKEST, BRIGHTEST = -MEAN_GREY / GREY_RANGE, (GREY_RANGE - MEAN_GREY) / GREY_RANGE
"""Contrast of grey levels 0 and 255 around mean grey."""
ROWS = 16
"""Clips shown at a time."""
_BLOCK = 4096


def behavior_rows(session: Session, split: str) -> Iterator[tuple[int, Tensor]]:
    """The behaviour (n, D) of every frame of ``split`` that can be used, run by run, each with its first frame."""
    for start, stop in session.usable(split).chunks(_BLOCK):
        rows = session.gather([start], context=0, frames=stop - start, stim=False).behavior
        assert rows is not None
        yield start, rows[0]


def mean_behavior(session: Session) -> Tensor | None:
    """The mean (D,) of behaviour over the training frames of a session; None for a session without behaviour.

    ContractError if it has no training frame.
    """
    if not session.behavior_dim:
        return None
    total, count = torch.zeros(session.behavior_dim, dtype=torch.float64), 0
    for _, rows in behavior_rows(session, "train"):
        total += rows.double().sum(0)
        count += len(rows)
    if not count:
        raise ContractError(
            f"session {session.name}: no training frame to take mean behaviour from",
            hint="give data with the trials that the checkpoint was trained on",
        )
    return (total / count).float()


@dataclass(frozen=True)
class Screen:
    """One session of a twin, to which contrast around mean grey is shown: `rates`."""

    twin: AnyTwin
    session: Session
    behavior: Tensor | None
    history: Tensor | None
    device: torch.device

    @classmethod
    def of(cls, twin: AnyTwin, session: Session, device: torch.device) -> Screen:
        """With behaviour, and spikes of the past, at their means over training frames."""
        behavior = mean_behavior(session)
        history = torch.from_numpy(training_rates(session)).float() if twin.history_frames else None
        return cls(
            twin,
            session,
            None if behavior is None else behavior.to(device),
            None if history is None else history.to(device),
            device,
        )

    @property
    def context(self) -> int:
        """Frames before the first response, which clips must hold."""
        return self.twin.context

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the session's stimulus."""
        return self.session.height, self.session.width

    def rates(self, contrast: Tensor) -> Tensor:
        """Rates (n, T - context, U) in spikes a bin of clips (n, T, H, W) of contrast, ``(grey level - 127) / 255``.

        Differentiable by contrast. The operations of the dataset config on the movie are applied to each clip as if it
        were a trial that begins with mean grey.
        """
        n, frames = contrast.shape[:2]
        scored = frames - self.context
        units = self.session.n_units
        part = SessionClips(
            session=self.session.index,
            stim=self._seen(contrast.to(self.device)),
            robs=torch.zeros(n, scored, units, device=self.device),
            dfs=torch.ones(n, scored, 1, device=self.device),
            behavior=None if self.behavior is None else self.behavior.expand(n, frames, -1),
            history=self._history(n, scored),
        )
        return self.twin((part,))[0]

    def in_pieces(self, contrast: Tensor) -> NDArray[np.float64]:
        """`rates` without gradients, a few clips at a time; NumericsError if they are not finite."""
        with torch.no_grad():
            found = [self.rates(contrast[at : at + ROWS]).double().cpu() for at in range(0, len(contrast), ROWS)]
        rates = torch.cat(found)
        if not bool(rates.isfinite().all()):
            raise NumericsError(
                f"session {self.session.name}: predicted rates are not finite",
                hint="analyse another checkpoint of the run",
            )
        return np.asarray(rates.numpy())

    def grey(self, places: Sequence[int]) -> NDArray[np.float64]:
        """Rates at mean grey of some units, spikes a bin."""
        rates = self.in_pieces(torch.zeros(1, self.context + 1, *self.size))
        return rates[0, 0, list(places)]

    def _seen(self, contrast: Tensor) -> Tensor:
        chain = self.session.chain
        if not chain.ops:
            return contrast
        left, right = (0, 0) if chain.whole_trials else chain.halo
        grey = torch.full((1, *self.size), float(MEAN_GREY), device=contrast.device)
        before, after = grey.expand(left, -1, -1), grey.expand(right, -1, -1)
        clips = []
        for clip in contrast * GREY_RANGE + MEAN_GREY:
            whole = chain.apply(torch.cat([before, clip, after]))
            clips.append(whole[left : left + len(clip)])
        return torch.stack(clips)

    def _history(self, n: int, scored: int) -> Tensor | None:
        if self.history is None:
            return None
        return self.history.expand(n, self.twin.history_frames + scored, -1)
