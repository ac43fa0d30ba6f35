"""How often does each unit fire on training frames?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vctrain.data.session import Session

_CHUNK_FRAMES = 1 << 14


def training_rates(session: Session, split: str = "train") -> NDArray[np.float64]:
    """Mean spikes in a bin of each unit over the scored frames of `split`, (U,); read in chunks."""
    total = np.zeros(session.n_units)
    scored = session.scored(split)
    for start, stop in scored.chunks(_CHUNK_FRAMES):
        total += session.counts(start, stop).sum(0, dtype=np.float64)
    return total / scored.total
