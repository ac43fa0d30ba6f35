"""How many bits per spike does the mean of the other repeats give? A ceiling for models of the stimulus alone."""

from __future__ import annotations

import math

import numpy as np
import torch

from vctrain.errors import UsageError
from vctrain.metrics.bps import PoissonSums
from vctrain.metrics.masked import Bools, Floats
from vctrain.metrics.repeats import MINIMUM, Minimum, Repeats

EMPTY_BIN = 0.25
"""Spikes that a bin without one in n other repeats is taken to hold in all of them: its rate is 0.25 / n.

Close to the median, 0.227 / n, of what such a bin says of a Poisson rate (Jeffreys' prior). Bins with a spike keep
their mean.
"""


def leave_one_out(repeats: Repeats, minimum: Minimum = MINIMUM, *, empty: float = EMPTY_BIN) -> tuple[Floats, Bools]:
    """For each repeat the rate ``max(sum of the others, empty) / number of others``, spikes per bin ``(R, T, U)``, and
    which entries it can score, bool of the same shape; NaN elsewhere.

    An entry is scored where it is valid and its bin counts (`Repeats.used`): at least 3 others hold it by default.
    Raises UsageError unless ``empty`` is positive and finite.

    Source: docs/evaluation.md, Ceilings; the floor is argued for at `EMPTY_BIN`.
    """
    if not 0 < empty < math.inf:
        raise UsageError(f"empty bins are given {empty} spikes", hint="give a small positive number, such as 0.25")
    scored = repeats.valid & repeats.used(minimum)
    others = np.maximum(repeats.repeats_per_bin() - 1, 1)
    rate = np.maximum(repeats.counts.sum(0) - repeats.counts, empty) / others
    return np.where(scored, rate, np.nan), scored


def oracle_sums(repeats: Repeats, minimum: Minimum = MINIMUM, *, empty: float = EMPTY_BIN) -> PoissonSums:
    """Sums of the leave-one-out rates over the scored entries; ``bits_per_spike()`` is the oracle, ``(U,)``.

    The null model is the unit's mean over the scored entries. NaN for a unit without a spike there. Sums of different
    sequences of one unit may be added. A model is compared on the same entries: ``scored`` of `leave_one_out`.
    """
    rate, scored = leave_one_out(repeats, minimum, empty=empty)
    return PoissonSums.of(torch.from_numpy(rate), torch.from_numpy(repeats.counts), torch.from_numpy(scored))
