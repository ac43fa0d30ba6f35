"""Where does randomness come from: one independent counter-based stream for each purpose."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *purpose: int | str) -> np.random.Generator:
    """The generator of one purpose, e.g. ``stream(seed, session, "gaborium", "gaze")``.

    Streams of different purposes are independent (NumPy `SeedSequence` over Philox), so adding a stimulus type, a
    session or a draw to one purpose leaves every other stream as it was, whoever runs first.

    >>> a, b = stream(0, 1, "gaze"), stream(0, 1, "spikes")
    >>> float(a.random()) == float(stream(0, 1, "gaze").random()), float(a.random()) == float(b.random())
    (True, False)
    """
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in purpose]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))
