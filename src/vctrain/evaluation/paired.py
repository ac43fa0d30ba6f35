"""By how much, and how surely, is one checkpoint better than another on the same units and frames?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from vctrain.errors import ContractError
from vctrain.evaluation.figures import Nulls, number, seed_of
from vctrain.evaluation.scoring import TrialSums
from vctrain.metrics.poisson import difference
from vctrain.stats.bootstrap import bootstrap, mean_of, signed_rank


def paired(
    baseline: Sequence[TrialSums], other: Sequence[TrialSums], nulls: Nulls, *, replicates: int, seed: int = 0
) -> dict[str, Any]:
    """Differences (``other`` minus ``baseline``) of the units that both have, with 95 % intervals and p values.

    Trials are drawn alike for both. ``p_bootstrap`` asks about the mean over sessions, given these units;
    ``p_wilcoxon`` about units, given these trials. ContractError if no unit is shared, or if the two did not see the
    same frames and spikes.
    """
    theirs = {part.session: part for part in other}
    sessions: dict[str, Any] = {}
    means, differences = [], []
    for first in baseline:
        second = theirs.get(first.session)
        shared = [] if second is None else [cid for cid in first.cids if cid in set(second.cids)]
        if second is None or not shared:
            continue
        first, second = first.of_cids(shared), second.of_cids(shared)
        _check_same(first, second)
        null = None if nulls is None else nulls[first.session]
        each, mean = bootstrap(
            np.concatenate([first.sums, second.sums], axis=1),
            partial(difference, null_rate=null),
            replicates=replicates,
            seed=seed_of(first.session, seed),
        )
        means.append(mean)
        differences += each.value.tolist()
        low, high = mean.interval()
        sessions[first.session] = {
            "difference": number(mean.value),
            "interval": None if math.isnan(float(low)) else [float(low), float(high)],
            "p_bootstrap": number(mean.p_value()),
            "p_wilcoxon": number(signed_rank(each.value)),
            "n_units": len(shared),
            "units": {str(cid): number(value) for cid, value in zip(shared, each.value, strict=True)},
        }
    if not sessions:
        raise ContractError(
            "--paired: the checkpoints share no unit", hint="compare checkpoints of the same sessions and cids"
        )
    together = mean_of(means)
    low, high = together.interval()
    return {
        "difference": number(together.value),
        "interval": None if math.isnan(float(low)) else [float(low), float(high)],
        "p_bootstrap": number(together.p_value()),
        "p_wilcoxon": number(signed_rank(differences)),
        "n_units": sum(found["n_units"] for found in sessions.values()),
        "n_units_better": int(sum(value > 0 for value in differences)),
        "sessions": sessions,
    }


def _check_same(first: TrialSums, second: TrialSums) -> None:
    same = first.trials == second.trials and np.array_equal(first.sums[:, :2], second.sums[:, :2])
    if not same:
        raise ContractError(
            f"session {first.session}: the checkpoints did not see the same frames and spikes",
            hint="they were trained on other splits or filters; give both the same --data and --split all",
        )
