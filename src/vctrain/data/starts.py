"""Where may a clip start?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vctrain.data.intervals import Intervals, Ints
from vctrain.data.lookup import Lookup
from vctrain.data.session import Session
from vctrain.errors import ContractError


class StartTable:
    """The admissible starts of clips in the training segments of all sessions, numbered from 0.

    A segment [a, b) admits a + context .. b - frames; one that is shorter admits a + context alone if that frame is in
    it. Looking one up does not depend on the number of frames. Raises ContractError for a session that has none.
    """

    def __init__(self, sessions: Sequence[Session], context: int, frames: int) -> None:
        self._frames = frames
        found = [_segments_of(session, index, context) for index, session in enumerate(sessions)]
        first, stop, session = np.concatenate(found).T
        admitted = np.maximum(stop - frames - first + 1, 1)
        after = np.cumsum(admitted)
        self._segment = Lookup(after)
        # what is known of a segment side by side, so that one access brings it
        self._rows = np.column_stack([after - admitted, first, stop, session])
        self.offsets = np.concatenate([[0], after[np.cumsum([len(segments) for segments in found]) - 1]])
        """(n + 1,): session i has the numbers [offsets[i], offsets[i + 1])."""
        # the frames of all sessions one after another, so that one look-up serves them all
        scored = [session.scored("train", context).table for session in sessions]
        ends = [max(table[-1:, 1].max(initial=0), its[-1, 1]) for table, its in zip(scored, found, strict=True)]
        self._shift = np.concatenate([[0], np.cumsum(ends)])
        self._scored = Intervals(np.concatenate([table + by for table, by in zip(scored, self._shift, strict=False)]))

    def at(self, numbers: Ints) -> tuple[Ints, Ints, Ints]:
        """Sessions and starts with these numbers, (n,), and how many frames a clip there scores."""
        before, first, stop, session = self._rows.take(self._segment(numbers), axis=0).T
        starts: Ints = first + numbers - before
        shift = self._shift[session]
        scored = self._scored.count(starts + shift, np.minimum(starts + self._frames, stop) + shift)
        return session, starts, scored

    def scored_frame(self, session: Ints, starts: Ints, rank: Ints) -> Ints:
        """The frame with this rank, (n,) from 0, among the scored ones of the clips at `starts`."""
        shift = self._shift[session]
        return self._scored.at(self._scored.before(starts + shift) + rank) - shift


def _segments_of(session: Session, index: int, context: int) -> Ints:
    """First start, stop and session of each segment that admits a clip, (m, 3)."""
    segments = session.segments("train")
    first, stop = segments[:, 0] + context, segments[:, 1]
    keep = first < stop
    if not keep.any():
        raise ContractError(
            f"session {session.name} has no training trial longer than the {context} frames of context",
            hint="use a model with less context, or longer trials",
        )
    return np.column_stack([first[keep], stop[keep], np.full(keep.sum(), index)])
