"""What does one training or evaluation step hold?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

MEAN_GREY = 127
_TENSORS = ("stim", "robs", "dfs", "behavior", "rate_true", "levels", "history", "features")


@dataclass(frozen=True)
class Places:
    """Where the frames of clips lie in a movie that a device holds: they are gathered there."""

    movie: torch.Tensor
    """(F, H, W), on the device."""
    frames: torch.Tensor
    """(n, T) int64: which of its frames."""
    outside: torch.Tensor | None
    """(n, T) bool: where a trial has no frame; None: nowhere."""
    padding: int
    """What stands there."""

    def gathered(self, non_blocking: bool = False) -> torch.Tensor:
        """The frames, (n, T, H, W), on the device of the movie."""
        device = self.movie.device
        frames = self.frames.to(device, non_blocking=non_blocking)
        found = self.movie[frames]
        if self.outside is not None:
            found[self.outside.to(device, non_blocking=non_blocking)] = self.padding
        return found

    def pin_memory(self) -> Places:
        """The same with what is copied to the device in page-locked memory."""
        outside = None if self.outside is None else self.outside.contiguous().pin_memory()
        return replace(self, frames=self.frames.contiguous().pin_memory(), outside=outside)


@dataclass(frozen=True)
class SessionClips:
    """Clips of one session, oldest frame first: `T` = context + L frames, of which the last L are scored.

    Where the trial has no frame, stim is mean grey, and counts, filters and behaviour are 0.
    """

    session: int
    """Index of the session among those opened together."""
    stim: torch.Tensor | None
    """(n, T, H, W): uint8 grey levels, or float32 where the operations on the movie were computed beforehand; None for
    a twin that reads no stimulus, and as long as there are only `places`."""
    robs: torch.Tensor
    """(n, L, U) float32: spikes in a bin."""
    dfs: torch.Tensor
    """(n, L, 1) or (n, L, U) float32: 1 where a (frame, unit) counts."""
    behavior: torch.Tensor | None = None
    """(n, T, D) float32."""
    rate_true: torch.Tensor | None = None
    """(n, L, U) float32: expected spikes in a bin, of simulated sessions."""
    levels: torch.Tensor | None = None
    """(256,) float32: what the twin takes for each grey level; None: (x - 127) / 255."""
    history: torch.Tensor | None = None
    """(n, R + L, U) float32: spikes of the L scored frames and of the R before them, for a twin that reads them."""
    features: torch.Tensor | None = None
    """(n, W + L, h, w, C): what a frozen core makes of the movie, computed beforehand; then there is no stim. W frames
    warm up what reads them."""
    places: Places | None = None
    """Of the movie, where a device holds it: `to` makes them its frames."""

    @property
    def n_clips(self) -> int:
        """Clips."""
        return len(self.robs)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SessionClips:
        """The same clips on `device`."""
        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name in _TENSORS
            if (value := getattr(self, name)) is not None
        }
        if self.places is not None:
            moved["stim"] = self.places.gathered(non_blocking).to(device)
        return replace(self, **moved, places=None)

    def piece(self, start: int, stop: int, before: bool = True) -> SessionClips:
        """The scored frames [start, stop) of the clips, with as much context as they have or, without ``before``, with
        none but the counts before each frame."""
        scored = self.robs.shape[1]

        def frames(name: str, context: bool) -> torch.Tensor | None:
            values: torch.Tensor | None = getattr(self, name)
            if values is None:
                return None
            lead = values.shape[1] - scored
            return values[:, start if context else lead + start : lead + stop]

        return replace(
            self,
            stim=frames("stim", before),
            behavior=frames("behavior", before),
            features=frames("features", before),
            robs=self.robs[:, start:stop],
            dfs=self.dfs[:, start:stop],
            rate_true=frames("rate_true", True),
            history=frames("history", True),
        )

    def pin_memory(self) -> SessionClips:
        """The same clips in page-locked memory, from which a copy to a GPU does not wait."""
        pinned = {
            name: value.pin_memory() for name in (*_TENSORS, "places") if (value := getattr(self, name)) is not None
        }
        return replace(self, **pinned)


@dataclass(frozen=True)
class ClipBatch:
    """The clips of one step on one process."""

    step: int
    parts: tuple[SessionClips, ...]
    """Sorted by session, each at most once."""
    counts: torch.Tensor
    """(number of sessions,) float64: valid (frame, unit) entries of each session in this step over all processes."""
    weights: torch.Tensor | None = None
    """(number of sessions,) float64: what the loss of each session weighs in the step; None: all the same."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ClipBatch:
        """The same batch on `device`; `counts` and `weights` stay on the CPU, where reading them waits for nothing."""
        return replace(self, parts=tuple(part.to(device, non_blocking) for part in self.parts))

    def pin_memory(self) -> ClipBatch:
        """The same batch in page-locked memory."""
        return replace(self, parts=tuple(part.pin_memory() for part in self.parts))
