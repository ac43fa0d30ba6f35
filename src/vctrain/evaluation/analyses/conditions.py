"""Which grating was on the screen in each frame of a session, and in which phase?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.data.intervals import Ints
from vctrain.data.session import Session
from vctrain.errors import ContractError

ORIENTATION, FREQUENCY, PHASE = "ori", "sf", "stim_phase"
PHASE_BINS = 8
MANY = 1024
"""Orientations times frequencies beyond which labels are no labels."""


@dataclass(frozen=True)
class Conditions:
    """Of every global frame of a session; ``condition`` is -1 where no grating is told.

    ``orientations`` (O,) degrees and ``frequencies`` (S,) as the recordings tell them; ``condition`` (F,) is
    ``orientation * S + frequency``; ``phase`` (F,) radians at the middle pixel of the patch, None where it is not told.
    """

    orientations: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    condition: Ints
    phase: NDArray[np.float64] | None

    @property
    def number(self) -> int:
        """Of conditions."""
        return len(self.orientations) * len(self.frequencies)

    @property
    def bins(self) -> int:
        """Of phase: one where it is not told."""
        return 1 if self.phase is None else PHASE_BINS

    def bin_at(self, frames: Ints) -> Ints:
        """Condition and bin of phase of some frames as one number, ``condition * bins + bin``; -1 without a grating."""
        condition = self.condition[frames]
        if self.phase is None:
            return condition
        phase = np.nan_to_num(self.phase[frames])
        which = np.minimum((phase / (2 * np.pi) * PHASE_BINS).astype(np.int64), PHASE_BINS - 1)
        return np.where(condition < 0, -1, condition * PHASE_BINS + which)


def has_gratings(session: Session) -> bool:
    """Whether any recording of the session tells orientation and spatial frequency."""
    return any(ORIENTATION in recording and FREQUENCY in recording for recording in session.recordings)


def conditions_of(session: Session) -> Conditions:
    """The gratings of a session's recordings; ContractError where none tells them, or there is only one."""
    if not has_gratings(session):
        raise ContractError(
            f"session {session.name}: none of its recordings ({', '.join(session.types)}) tells orientations and "
            f"spatial frequencies (covariates {ORIENTATION} and {FREQUENCY})",
            hint="name a type that does with --types, such as gratings, or use --in-silico",
        )
    told = [r for r in session.recordings if ORIENTATION in r and FREQUENCY in r]
    values = [(r.labels(ORIENTATION), r.labels(FREQUENCY)) for r in told]
    orientations, frequencies = (np.unique(np.concatenate([v[i] for v in values])) for i in (0, 1))
    orientations, frequencies = orientations[np.isfinite(orientations)], frequencies[np.isfinite(frequencies)]
    number = len(orientations) * len(frequencies)
    if len(orientations) < 2 or number > MANY:
        raise ContractError(
            f"session {session.name}: its gratings have {len(orientations)} orientations and {len(frequencies)} "
            "spatial frequencies",
            hint=f"covariates {ORIENTATION} and {FREQUENCY} must tell two or more orientations, from a fixed list",
        )
    phased = all(PHASE in r for r in told)
    condition = np.full(session.n_frames, -1, np.int64)
    phase = np.zeros(session.n_frames) if phased else None
    offset, pixel = 0, (session.height // 2, session.width // 2)
    for recording in session.recordings:
        at = slice(offset, offset + recording.n_frames)
        offset = at.stop
        if recording not in told:
            continue
        orientation, frequency = recording.labels(ORIENTATION), recording.labels(FREQUENCY)
        known = np.isfinite(orientation) & np.isfinite(frequency)
        if phase is not None:
            degrees = recording.labels(PHASE, pixel if recording.width_of(PHASE) > 1 else None)
            phase[at] = np.mod(np.radians(degrees), 2 * np.pi)
            known &= np.isfinite(degrees)
        which = np.searchsorted(orientations, orientation) * len(frequencies)
        which = which + np.searchsorted(frequencies, frequency)
        condition[at] = np.where(known, which, -1)
    return Conditions(orientations, frequencies, condition, phase)
