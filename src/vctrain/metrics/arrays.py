"""How many bits per spike are rates worth, given as arrays?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vctrain.errors import ContractError
from vctrain.metrics.bps import PoissonSums


def bits_per_spike(rate: ArrayLike, robs: ArrayLike, dfs: ArrayLike | None = None) -> NDArray[np.float64]:
    """Bits per spike of each unit, ``(U,)`` float64, over its mean rate on the same frames; NaN without a spike.

    Poisson log-likelihood gained over the mean-rate model, in bits, per spike (Brenner et al. 2000; Pillow et al.
    2008).

    Args:
        rate: predicted, ``(F, U)`` spikes a bin.
        robs: observed, ``(F, U)`` spikes a bin.
        dfs: ``(F, U)`` or ``(F, 1)``, above 0 where an entry counts; None: where ``rate`` is not NaN, as it is in the
            first frames of `LoadedTwin.predict`.

    Raises ContractError for other shapes.

    >>> bits_per_spike([[2.0], [0.0]], [[2], [0]]).round(6).tolist()
    [1.0]
    """
    rates, counts = np.asarray(rate, np.float64), np.asarray(robs, np.float64)
    counted = ~np.isnan(rates) if dfs is None else np.asarray(dfs, np.float64)
    if rates.ndim != 2 or rates.shape != counts.shape or counted.shape not in (rates.shape, (len(rates), 1)):
        raise ContractError(
            f"rate has shape {rates.shape}, robs {counts.shape}, dfs {counted.shape}",
            hint="give (frames, units) for both, and (frames, units) or (frames, 1) for dfs",
        )
    sums = PoissonSums.of(*map(torch.from_numpy, (rates, counts, counted)))
    found: NDArray[np.float64] = sums.bits_per_spike().numpy()
    return found
