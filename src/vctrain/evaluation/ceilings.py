"""How near do the predictions of a twin come to what repeats of a sequence allow, unit by unit?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.session import Session
from vctrain.errors import ContractError
from vctrain.evaluation.rates import rates_of
from vctrain.evaluation.scoring import Scales
from vctrain.metrics.bps import PoissonSums
from vctrain.metrics.ceilings import cc_norm, cc_norm_by_halves, explained_variance, single_trial_correlation
from vctrain.metrics.masked import Bools, Floats
from vctrain.metrics.poisson import mean_known
from vctrain.metrics.psth_oracle import leave_one_out
from vctrain.metrics.reliability import split_halves
from vctrain.metrics.repeats import MINIMUM, Minimum, Repeats, arrange
from vctrain.models.build import AnyTwin

FIGURES = (
    "cc_norm",
    "cc_max",
    "cc_abs",
    "cc_norm_by_halves",
    "cc_max_by_halves",
    "feve",
    "explainable",
    "single_trial",
    "bps",
    "psth_oracle_bps",
)
"""Of each unit; formulas and sources are in docs/evaluation.md. ``bps`` is the twin's on the entries of the oracle."""
SEQUENCE = "psth_inds"


def repeated_types(session: Session) -> tuple[str, ...]:
    """The types of stimulus of which a recording numbers the frames of a repeated sequence."""
    return tuple(recording.kind for recording in session.recordings if SEQUENCE in recording)


def ceilings(
    twin: AnyTwin,
    sessions: Sequence[Session],
    split: str,
    device: torch.device,
    minimum: Minimum = MINIMUM,
    *,
    scales: Scales | None = None,
) -> dict[str, Any]:
    """What repeats say of each unit (`FIGURES`), by session and type of stimulus, and overall.

    ``{"overall": {figure: mean over sessions and types}, "minimum": {...}, "sessions": {name: {type: {"n_repeats",
    "n_bins", "n_units_with_value", "mean": {...}, "units": {cid: {...}}}}}}``; undefined figures are None.
    ``n_repeats`` counts those with a scored frame, ``n_bins`` the bins that count for at least one unit. Rates get the
    gain and offset of ``scales`` first. Raises ContractError if no session has a repeated sequence on the split.
    """
    found: dict[str, dict[str, Any]] = {}
    for session in sessions:
        for kind in repeated_types(session):
            there = repeats_of(twin, session, split, kind, device)
            if there is None:
                continue
            repeats, rate = there
            gain, offset = (scales or {}).get(session.index, (1.0, 0.0))
            found.setdefault(session.name, {})[kind] = _of_type(session, repeats, gain * rate + offset, minimum)
    if not found:
        raise ContractError(
            f"--ceilings: no {split} frame of {', '.join(s.name for s in sessions[:4])} belongs to a repeated sequence",
            hint=f"recordings number the frames of repeats in {SEQUENCE}, as type fixrsvp does; name it with --types, "
            "or leave out --ceilings",
        )
    every = [of_type for types in found.values() for of_type in types.values()]
    return {
        "overall": {name: _mean([of_type["mean"][name] for of_type in every]) for name in FIGURES},
        "minimum": {"repeats": minimum.repeats, "bins": minimum.bins, "share": minimum.share},
        "sessions": found,
    }


def repeats_of(
    twin: AnyTwin, session: Session, split: str, kind: str, device: torch.device
) -> tuple[Repeats, Floats] | None:
    """Counts of the repeats of a type of stimulus, and the predictions of the same entries (R, T, U); None where no
    scored frame of ``split`` belongs to a sequence.

    Holds what was shown repeatedly in memory, and no other frame.
    """
    recording = session.recordings[session.types.index(kind)]
    # a bin of several frames of the file is one bin of the sequence
    numbers = np.floor(recording.labels(SEQUENCE) / recording.factor)
    number: list[NDArray[Any]] = []
    trial: list[NDArray[Any]] = []
    rhat, robs, dfs = [], [], []
    for rows in rates_of(twin, session, split, device, types=(kind,)):
        within = numbers[session.place_of(int(rows.frames[0]))[1] + rows.frames - rows.frames[0]]
        shown = within >= 0
        number.append(within[shown])
        trial.append(np.full(int(shown.sum()), session.trials_at(rows.frames[:1])[0]))
        rhat.append(rows.rhat[shown])
        robs.append(rows.robs[shown])
        dfs.append(rows.dfs[shown])
    if not sum(map(len, number)):
        return None
    arrangement = arrange(np.concatenate(number), np.concatenate(trial))
    repeats = arrangement.repeats(np.concatenate(robs), np.concatenate(dfs))
    return repeats, np.nan_to_num(arrangement.place(np.concatenate(rhat)))


def figures_of(repeats: Repeats, rate: Floats, minimum: Minimum = MINIMUM) -> dict[str, Floats]:
    """`FIGURES`, each (U,), NaN where undefined, of predictions ``rate`` (R, T, U)."""
    by_power, halves = cc_norm(repeats, rate, minimum), split_halves(repeats, minimum)
    by_halves = cc_norm_by_halves(repeats, rate, minimum, halves=halves)
    variance = explained_variance(repeats, rate, minimum)
    oracle, scored = leave_one_out(repeats, minimum)
    return {
        "cc_norm": by_power.cc_norm,
        "cc_max": by_power.cc_max,
        "cc_abs": by_power.cc_abs,
        "cc_norm_by_halves": by_halves.cc_norm,
        "cc_max_by_halves": by_halves.cc_max,
        "feve": variance.feve,
        "explainable": variance.explainable,
        "single_trial": single_trial_correlation(repeats, rate, minimum),
        "bps": _bps(rate, repeats, scored),
        "psth_oracle_bps": _bps(oracle, repeats, scored),
    }


def _bps(rate: Floats, repeats: Repeats, scored: Bools) -> Floats:
    found: Floats = PoissonSums.of(*map(torch.from_numpy, (rate, repeats.counts, scored))).bits_per_spike().numpy()
    return found


def _of_type(session: Session, repeats: Repeats, rate: Floats, minimum: Minimum) -> dict[str, Any]:
    figures = figures_of(repeats, rate, minimum)
    used = repeats.used(minimum)
    return {
        "n_repeats": int(repeats.valid.any((1, 2)).sum()),
        "n_bins": int(used.any(1).sum()),
        "n_units_with_value": int((~np.isnan(figures["cc_norm"])).sum()),
        "mean": {name: _known(mean_known(values)) for name, values in figures.items()},
        "units": {str(cid): _of_unit(figures, place) for place, cid in enumerate(session.cids)},
    }


def _of_unit(figures: Mapping[str, Floats], place: int) -> dict[str, float | None]:
    return {name: _known(values[place]) for name, values in figures.items()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
