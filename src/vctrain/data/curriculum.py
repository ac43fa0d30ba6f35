"""Which frames does a twin see more of at first? Those of high contrast, by a weight that is a pure function of the
step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vctrain.config.schema import Curriculum
from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import ContractError

_SAMPLED_FRAMES = 4096
Floats = NDArray[np.float64]


def alpha(step: int, curriculum: Curriculum) -> float | None:
    """What the relative contrast of a frame is multiplied by at `step`, rising linearly to 1 over `warmup_steps`; None
    from there on: all frames are drawn alike.

    >>> [alpha(step, Curriculum(warmup_steps=100)) for step in (0, 50, 100)]
    [0.5, 0.75, None]
    """
    if step >= curriculum.warmup_steps:
        return None
    return curriculum.start + (1 - curriculum.start) * step / curriculum.warmup_steps


class ContrastWeights:
    """The weight of any training frame at any step: ``min(1, alpha(step) * c)``, c its contrast over the median one.

    A frame's contrast is the standard deviation of its grey levels, as stored. The median is that of 4,096 scored
    training frames spread evenly over all sessions. Raises ContractError if it is 0, or a session has no contrast.
    """

    def __init__(self, curriculum: Curriculum, sessions: Sequence[Session]) -> None:
        self.curriculum, self.sessions = curriculum, tuple(sessions)
        scored = [session.scored("train") for session in sessions]
        total = sum(intervals.total for intervals in scored)
        found = []
        for session, intervals in zip(sessions, scored, strict=True):
            n = max(1, round(_SAMPLED_FRAMES * intervals.total / total))
            ranks = np.linspace(0, intervals.total - 1, min(n, intervals.total)).astype(np.int64)
            found.append(contrasts(session, intervals.at(ranks)))
            if not found[-1].any():
                raise ContractError(
                    f"session {session.name}: its movie has no contrast, so the curriculum would never draw from it",
                    hint="drop the session, or leave out data.curriculum",
                )
        self.median = float(np.median(np.concatenate(found)))
        if self.median == 0:
            raise ContractError(
                "more than half of the training frames are blank, so the curriculum has no scale of contrast",
                hint="leave out data.curriculum",
            )

    def of(self, session: Ints, frames: Ints, step: int) -> Floats:
        """The weights at `step` of global `frames` of these sessions, (n,) in 0..1."""
        rise = alpha(step, self.curriculum)
        if rise is None:
            return np.ones(len(frames))
        found = np.zeros(len(frames))
        for index in np.unique(session).tolist():
            mine = session == index
            found[mine] = contrasts(self.sessions[index], frames[mine])
        return np.minimum(1.0, rise * found / self.median)


def contrasts(session: Session, frames: Ints) -> Floats:
    """Standard deviation of the grey levels of each of the global `frames`, (n,); 0 for a blank frame."""
    return np.array([session.frame(frame).std(dtype=np.float64) for frame in frames.tolist()])
