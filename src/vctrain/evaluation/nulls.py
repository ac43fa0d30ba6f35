"""At which mean rates did the units fire on the training frames?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vctrain.data.loader import EvalLoader, Reads
from vctrain.data.session import Session
from vctrain.errors import ContractError

_FRAMES, _CLIPS = 1024, 8


def training_rates(sessions: Sequence[Session]) -> dict[str, NDArray[np.float64]]:
    """Spikes a bin of each unit, (U,), over the scored frames of the training split, by session.

    ContractError for a session or unit without such frames.
    """
    rates: dict[str, NDArray[np.float64]] = {}
    for session in sessions:
        loader = EvalLoader(
            [session], "train", context=session.context, frames=_FRAMES, clips=_CLIPS, reads=Reads(stim=False)
        )
        frames, spikes = np.zeros(session.n_units), np.zeros(session.n_units)
        for batch in loader:
            for part in batch.parts:
                counted = part.dfs.double().expand_as(part.robs)
                frames += counted.sum((0, 1)).numpy()
                spikes += (part.robs.double() * counted).sum((0, 1)).numpy()
        if not (frames > 0).all():
            raise ContractError(
                f"session {session.name}: no training frame of cid {session.cids[int(np.argmin(frames))]}",
                hint="use --null evaluated, the mean rates of the evaluated frames",
            )
        rates[session.name] = spikes / frames
    return rates
