"""How often does each unit fire on training frames?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vctrain.data.session import Session

_CHUNK_FRAMES = 1 << 14


def training_rates(session: Session, split: str = "train") -> NDArray[np.float64]:
    """Mean spikes in a bin of each unit over the frames of `split` that count for it, (U,); 0 where none does.

    Read in chunks.
    """
    total = np.zeros(session.n_units)
    for start, stop in session.scored(split).chunks(_CHUNK_FRAMES):
        counts, mask = session.counts(start, stop), session.unit_mask(start, stop)
        total += counts.sum(0, dtype=np.float64) if mask is None else counts.sum(0, dtype=np.float64, where=mask)
    rates: NDArray[np.float64] = total / np.maximum(session.entries(split), 1)
    return rates
