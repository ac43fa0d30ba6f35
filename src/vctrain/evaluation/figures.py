"""Which figures follow from the sums over trials: of units, sessions, subjects, types and overall, and how sure are
they?"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.evaluation.scoring import TrialSums
from vctrain.metrics.bps import overall
from vctrain.metrics.poisson import bits_per_spike, mean_known, with_gradient
from vctrain.stats.bootstrap import Estimates, bootstrap, mean_of

METRIC_VERSION = 1
"""Of everything here; results of other versions are not compared."""
Floats = NDArray[np.float64]
Nulls = Mapping[str, Floats] | None
"""Rate of each unit's null model, spikes a bin, by session; None: the mean rate on the evaluated frames."""


def figures(scored: Sequence[TrialSums], nulls: Nulls = None, *, replicates: int, seed: int = 0) -> dict[str, Any]:
    """All figures of one checkpoint, in plain values; a unit without a spike has None and is counted.

    Sessions are means over units, overall figures unweighted means over sessions; intervals are 95 %, from
    ``replicates`` resamplings of trials (0: none), and None where there are too few trials.
    """
    per_session = {part.session: _of_session(part, nulls, replicates, seed) for part in scored}
    estimates = [per_session[part.session].pop("_mean") for part in scored]
    bps = {name: found["bps"] for name, found in per_session.items()}
    every = np.concatenate([_bps(part, nulls) for part in scored])
    return {
        "metric_version": METRIC_VERSION,
        "bps_overall": overall(list(bps.values())),
        "bps_overall_interval": _interval(mean_of([e for e in estimates if e is not None])) if replicates else None,
        "bps_over_units": number(mean_known(every)),
        "bps_overall_clamped": overall([_clamped(part, nulls) for part in scored]),
        "n_units": sum(found["n_units"] for found in per_session.values()),
        "n_spikes": sum(found["n_spikes"] for found in per_session.values()),
        "n_frames": sum(found["n_frames"] for found in per_session.values()),
        **_against_oracle(scored),
        "sessions": per_session,
        "subjects": _by_subject(scored, bps),
        "types": _by_type(scored, nulls),
    }


def number(value: Any) -> float | None:
    """A float, or None for NaN."""
    return None if math.isnan(float(value)) else float(value)


def seed_of(session: str, seed: int) -> int:
    """The seed of a session's resamplings: sessions are independent, and the same whatever their order."""
    return zlib.crc32(session.encode()) ^ seed


def _bps(part: TrialSums, nulls: Nulls) -> Floats:
    return bits_per_spike(part.sums.sum(0), None if nulls is None else nulls[part.session])


def _clamped(part: TrialSums, nulls: Nulls) -> float | None:
    """As the earlier system reported: negative values count as 0."""
    return number(mean_known(np.maximum(_bps(part, nulls), 0.0)))


def _interval(found: Estimates) -> list[float] | None:
    low, high = found.interval()
    return None if math.isnan(float(low)) else [float(low), float(high)]


def _of_session(part: TrialSums, nulls: Nulls, replicates: int, seed: int) -> dict[str, Any]:
    total = part.sums.sum(0)
    null = None if nulls is None else nulls[part.session]
    bps = bits_per_spike(total, null)
    units = {str(cid): number(value) for cid, value in zip(part.cids, bps, strict=True)}
    found: dict[str, Any] = {
        "subject": part.subject,
        "bps": number(mean_known(bps)),
        "n_units": len(part.cids),
        "n_units_without_spikes": int(np.isnan(bps).sum()),
        "n_frames": int(total[0].max(initial=0)),
        "n_spikes": int(total[1].sum()),
        "n_trials": len(part.trials),
        "units": units,
        "unit_frames": {str(cid): int(n) for cid, n in zip(part.cids, total[0], strict=True)},
        "unit_spikes": {str(cid): int(n) for cid, n in zip(part.cids, total[1], strict=True)},
        "_mean": None,
    }
    if replicates:
        each, mean = bootstrap(
            part.sums, partial(with_gradient, null_rate=null), replicates=replicates, seed=seed_of(part.session, seed)
        )
        ends = each.interval().T
        found["interval"] = _interval(mean)
        found["unit_intervals"] = {
            str(cid): None if math.isnan(low) else [float(low), float(high)]
            for cid, (low, high) in zip(part.cids, ends, strict=True)
        }
        found["_mean"] = mean
    return found


def _against_oracle(scored: Sequence[TrialSums]) -> dict[str, float | None]:
    """The oracle's overall figure, and the ratio of ours to it over the sessions whose true rates are known."""
    known = [part for part in scored if part.oracle is not None]
    oracle = overall([number(mean_known(bits_per_spike(p.oracle.sum(0)))) for p in known if p.oracle is not None])
    ours = overall([number(mean_known(bits_per_spike(part.sums.sum(0)))) for part in known])
    ratio = ours / oracle if known and oracle and ours is not None else None
    return {"oracle_bps_overall": oracle, "fraction_of_oracle": ratio}


def _by_subject(scored: Sequence[TrialSums], bps: Mapping[str, float | None]) -> dict[str, Any]:
    """Unweighted means over the sessions of each subject."""
    found: dict[str, Any] = {}
    for part in scored:
        entry = found.setdefault(part.subject, {"sessions": [], "n_units": 0})
        entry["sessions"].append(part.session)
        entry["n_units"] += len(part.cids)
    return {
        name: {"bps": overall([bps[session] for session in entry["sessions"]]), **entry}
        for name, entry in found.items()
    }


def _by_type(scored: Sequence[TrialSums], nulls: Nulls) -> dict[str, Any]:
    """The same figures on the frames of one type of stimulus; the null model is the mean rate on these."""
    kinds = dict.fromkeys(kind for part in scored for kind, _ in part.trials)
    found = {}
    for kind in kinds:
        parts = [part.of_types([kind]) for part in scored]
        parts = [part for part in parts if part.trials]
        sessions = {part.session: number(mean_known(_bps(part, nulls))) for part in parts}
        found[kind] = {
            "bps_overall": overall(list(sessions.values())),
            **_against_oracle(parts),
            "n_frames": sum(int(part.sums.sum(0)[0].max(initial=0)) for part in parts),
            "n_spikes": sum(int(part.sums[:, 1].sum()) for part in parts),
            "sessions": sessions,
        }
    return found
