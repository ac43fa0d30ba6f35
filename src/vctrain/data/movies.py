"""Where does the movie of a session lie while clips are drawn from it, and how do clips read it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.clips import MEAN_GREY, Places
from vctrain.data.copying import take_rows
from vctrain.data.intervals import Ints
from vctrain.data.readahead import rows_will_be_needed, will_need
from vctrain.data.recordings import Recording
from vctrain.data.spans import Spans

_PIECE_BYTES = 1 << 25
"""Of what is read from a file at once when a movie moves into memory."""


@dataclass(frozen=True)
class Movie:
    """The movies of all recordings of a session, one after the other: global frames.

    They lie in mapped files, until `held` gives the same movie in the memory of this process or of a device.
    """

    recordings: Sequence[Recording]
    computed: Sequence[NDArray[np.float32]] = ()
    """(F, H, W) for each recording, where the operations on the movie were computed beforehand."""
    frames: torch.Tensor | None = None
    """(F, H, W): all of it, in memory."""

    @property
    def dtype(self) -> torch.dtype:
        """uint8 grey levels, or float32 where it was computed beforehand."""
        return torch.float32 if self.computed else torch.uint8

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames at the twin's rate, height, width."""
        first = self.recordings[0]
        return sum(recording.n_frames for recording in self.recordings), first.height, first.width

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def held(self, device: torch.device) -> Movie:
        """The same movie in the memory of ``device``, read once, in pieces."""
        held = torch.empty(self.shape, dtype=self.dtype, device=device)
        step = max(_PIECE_BYTES // max(held[:1].nbytes, 1), 1)
        offset = 0
        for place, recording in enumerate(self.recordings):
            for start in range(0, recording.n_frames, step):
                stop = min(start + step, recording.n_frames)
                held[offset + start : offset + stop] = torch.from_numpy(self._stretch(place, start, stop))
            offset += recording.n_frames
        return replace(self, frames=held)

    def clips(self, spans: Spans) -> torch.Tensor | Places:
        """The frames of ``spans``, (n, T, H, W), mean grey outside their trials; where the movie lies on a device,
        their places there."""
        if self.frames is not None and self.frames.device.type != "cpu":
            return self.places(spans)
        first = self.recordings[0]
        out = np.empty((*spans.shape, first.height, first.width), np.float32 if self.computed else np.uint8)
        if self.frames is None:
            return torch.from_numpy(spans.fill(out, self._read, self._padding))
        take_rows(self.frames.numpy(), spans.frames, out)
        if spans.outside is not None:
            out[spans.outside] = self._padding
        return torch.from_numpy(out)

    def places(self, spans: Spans) -> Places:
        """Where the frames of ``spans`` lie in a movie that is held."""
        assert self.frames is not None
        outside = None if spans.outside is None else torch.from_numpy(spans.outside)
        return Places(self.frames, torch.from_numpy(spans.frames), outside, self._padding)

    @property
    def _padding(self) -> int:
        return 0 if self.computed else MEAN_GREY

    def _read(self, place: int, frames: Ints, out: NDArray[Any]) -> None:
        if self.computed:
            rows_will_be_needed(self.computed[place], frames)
            take_rows(self.computed[place], frames, out)
        else:
            self.recordings[place].movie_at(frames, out)

    def _stretch(self, place: int, start: int, stop: int) -> NDArray[Any]:
        if self.computed:
            will_need(self.computed[place][start:stop])
            return np.array(self.computed[place][start:stop])
        recording = self.recordings[place]
        out = np.empty((stop - start, recording.height, recording.width), np.uint8)
        recording.movie_into(out, start, stop)
        return out
