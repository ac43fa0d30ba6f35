"""What is a few seconds of a trial, counts beside predictions?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.evaluation.passes import Predicted

SECONDS = 4.0
KINDS = 3
"""Types of stimulus shown at most."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """The global frames [start, stop) of a trial."""

    kind: str
    trial: float
    start: int
    stop: int


@dataclass(frozen=True)
class Stretch:
    """Frames of one trial: arrays ``(n, K)`` in spikes a bin, NaN where an entry is not scored."""

    place: Place
    robs: Array
    rhat: Array
    rate_true: Array | None


def choose(session: Session, split: str, context: int) -> list[Place]:
    """The beginning of the longest scored stretch of each of the first three types of stimulus (of equal ones the
    first)."""
    table = session.scored(split, context).table
    kinds = np.array([session.place_of(start)[0] for start in table[:, 0].tolist()], np.int64)
    places: list[Place] = []
    for number, recording in enumerate(session.recordings):
        mine = table[kinds == number]
        if len(mine) and len(places) < KINDS:
            start, stop = mine[np.argmax(mine[:, 1] - mine[:, 0])].tolist()
            trial = session.labels[int(session.trials_at([start])[0])][1]
            stop = min(stop, start + max(round(SECONDS * session.rate_hz), 1))
            places.append(Place(recording.kind, trial, start, stop))
    return places


@dataclass
class StretchReader:
    """Keeps what is predicted within ``places``."""

    places: list[Place]
    found: dict[Place, dict[str, Any]] = field(default_factory=dict)

    def wants(self, start: int, stop: int, kind: str) -> bool:
        """Whether a clip reaches into a place."""
        return any(start < place.stop and place.start < stop for place in self.places)

    def add(self, clips: Predicted) -> None:
        """Take from ``clips`` the frames of the places."""
        for row, first in enumerate(clips.starts.tolist()):
            length = clips.robs.shape[1]
            for place in self.places:
                low, high = max(first, place.start), min(first + length, place.stop)
                if low < high:
                    self._keep(place, clips, row, slice(low - first, high - first), low - place.start)

    def _keep(self, place: Place, clips: Predicted, row: int, frames: slice, at: int) -> None:
        counted = clips.counted[row, frames].numpy()
        values = {"robs": clips.robs, "rhat": clips.rhat, "rate_true": clips.rate_true}
        for name, tensor in values.items():
            if tensor is None:
                continue
            kept = self.found.setdefault(place, {}).setdefault(
                name, np.full((place.stop - place.start, tensor.shape[2]), np.nan)
            )
            rows = kept[at : at + len(counted)]
            # a frame after the trial's end is not scored in this clip, but may be in another
            rows[counted] = tensor[row, frames].double().numpy()[counted]

    def result(self) -> list[Stretch]:
        """The stretches in the order of the places."""
        return [
            Stretch(place, kept["robs"], kept["rhat"], kept.get("rate_true"))
            for place in self.places
            if (kept := self.found.get(place))
        ]
