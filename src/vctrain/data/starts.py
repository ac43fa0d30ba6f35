"""Where may a clip of a session start?"""

from __future__ import annotations

import numpy as np

from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import ContractError


class StartTable:
    """The admissible starts of clips in the training segments of one session, numbered from 0.

    A segment [a, b) admits a + context .. b - frames; one that is shorter admits a + context alone if that frame is in
    it. Looking one up does not depend on the number of frames. Raises ContractError if there is none.
    """

    def __init__(self, session: Session, context: int, frames: int) -> None:
        segments = session.segments("train")
        first = segments[:, 0] + context
        admitted = np.where(first < segments[:, 1], np.maximum(segments[:, 1] - frames - first + 1, 1), 0)
        keep = admitted > 0
        self._first, self._stop, self._frames = first[keep], segments[keep, 1], frames
        self._after = np.cumsum(admitted[keep])
        self.total = int(self._after[-1]) if len(self._after) else 0
        if self.total == 0:
            raise ContractError(
                f"session {session.name} has no training trial longer than the {context} frames of context",
                hint="use a model with less context, or longer trials",
            )
        scored = session.scored("all", context).count(self._first, self._stop)
        self._whole = scored == self._stop - self._first

    def at(self, number: Ints) -> tuple[Ints, Ints]:
        """The starts with these numbers, (n,), and how many frames a clip there scores: -1 in a segment with gaps,
        where it has to be counted."""
        segment = np.searchsorted(self._after, number, side="right")
        before = np.where(segment > 0, self._after[segment - 1], 0)
        starts: Ints = self._first[segment] + number - before
        known = np.minimum(self._frames, self._stop[segment] - starts)
        return starts, np.where(self._whole[segment], known, -1)
