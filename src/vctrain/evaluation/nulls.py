"""At which mean rates did the units fire on the training frames?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vctrain.data.rates import training_rates
from vctrain.data.session import Session
from vctrain.errors import ContractError


def null_rates(sessions: Sequence[Session]) -> dict[str, NDArray[np.float64]]:
    """Spikes a bin of each unit, (U,), over the scored frames of the training split, by session.

    ContractError for a session or unit without such frames.
    """
    for session in sessions:
        entries = session.entries("train")
        if not (entries > 0).all():
            raise ContractError(
                f"session {session.name}: no training frame of cid {session.cids[int(np.argmin(entries))]}",
                hint="use --null evaluated, the mean rates of the evaluated frames",
            )
    return {session.name: training_rates(session) for session in sessions}
