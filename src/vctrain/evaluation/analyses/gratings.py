"""How do orientation, spatial frequency and phase of recorded gratings drive each unit, in data and model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.errors import ContractError
from vctrain.evaluation.analyses.chosen import Asked, Chosen, Part, choose
from vctrain.evaluation.analyses.conditions import Conditions, conditions_of, has_gratings
from vctrain.evaluation.analyses.findings import Arrays, Findings, known, median
from vctrain.evaluation.passes import predictions
from vctrain.stats.tuning import NO_FIT, SineFit, circular_tuning, fit_sine, peak_between

SECONDS = 0.17
"""Of history in which a response to a grating may peak: 20 frames at 120 Hz."""
FEWEST_SPIKES = 50
"""At the preferred orientation and frequency, for a fit of phase."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Sums:
    """By lag, condition and bin of phase: ``weights`` and ``frames`` ``(lags, C, B, 2 U)``; ``sine`` and ``cosine``
    of the phase, and the number of ``shown`` frames, ``(lags, C, B)``."""

    weights: Floats
    frames: Floats
    sine: Floats
    cosine: Floats
    shown: Floats


def tuning(target: str, asked: Asked, *, lags: int | None = None) -> Findings:
    """Tuning of data and model by reverse correlation with the gratings that the recordings tell.

    ``lags`` frames of history (default: `SECONDS`). Arrays of a session: ``responses_data`` and ``responses_model``
    (U, lags, O, S), spikes a bin after a grating shown so many frames ago; ``orientations`` (O,), ``frequencies`` (S,),
    ``orientation_data`` ... (U, O) and ``frequency_data`` ... (U, S) at the peak lag, ``phase_data`` ... (U, B) at the
    preferred grating, where phases are told, ``cids``. Raises ContractError if no session tells gratings.
    """
    chosen = choose(target, asked)
    with_gratings = [part for part in chosen.parts if has_gratings(part.session)]
    if not with_gratings:
        conditions_of(chosen.parts[0].session)
    left_out = [part.session.name for part in chosen.parts if part not in with_gratings]
    notes = [f"without orientations of gratings, left out: {', '.join(left_out)}"] if left_out else []
    units: dict[str, dict[int, dict[str, Any]]] = {}
    arrays: dict[str, Arrays] = {}
    for part in with_gratings:
        number = lags or max(2, round(SECONDS * part.session.rate_hz))
        conditions = conditions_of(part.session)
        if conditions.phase is None:
            notes.append(f"session {part.session.name}: its recordings tell no phases, so there is no tuning to them")
        sums = _summed(chosen, part, conditions, number)
        units[part.session.name], arrays[part.session.name] = _of_session(part, conditions, sums)
    overall = {"n_units": sum(map(len, units.values()))}
    for key in ("orientation_difference", "osi", "osi_model", "modulation", "modulation_model"):
        overall[f"median_{key}"] = median(units, key)  # type: ignore[assignment]
    settings = {"types": list(asked.question.types or ()), "lags": lags, "in_silico": False}
    return Findings("tuning", chosen, settings, units, overall, arrays, tuple(notes))


def _summed(chosen: Chosen, part: Part, conditions: Conditions, lags: int) -> _Sums:
    session, columns = part.session, 2 * len(part.places)
    cells = conditions.number * conditions.bins
    weights = torch.zeros(lags, cells, columns, dtype=torch.float64)
    frames = torch.zeros(lags, cells, columns, dtype=torch.float64)
    turned = np.zeros((3, lags, cells))
    split = chosen.question.split
    for clip in predictions(chosen.twin, session, split, chosen.device, units=part.places, context=lags - 1):
        scored = clip.robs.shape[1]
        counted, valid = (each.flatten(0, 1) for each in clip.weights())
        counted = counted.double()
        some = valid.any(1).numpy()
        for lag in range(lags):
            # what lies beyond a trial is valid nowhere
            at = np.clip(clip.starts[:, None] + np.arange(scored) - lag, 0, session.n_frames - 1).flatten()
            cell = conditions.bin_at(at)
            shown = (cell >= 0) & some
            rows = torch.from_numpy(cell[shown])
            weights[lag].index_add_(0, rows, counted[shown])
            frames[lag].index_add_(0, rows, valid[shown].double())
            phase = np.zeros(shown.sum()) if conditions.phase is None else conditions.phase[at[shown]]
            for place, values in enumerate((np.sin(phase), np.cos(phase), np.ones(len(phase)))):
                turned[place, lag] += np.bincount(cell[shown], values, cells)
    if not turned[2].any():
        raise ContractError(
            f"session {session.name}: no {split} frame follows a grating within {lags} frames",
            hint="ask for another --split or more --lags",
        )
    shape = (lags, conditions.number, conditions.bins)
    sine, cosine, shown_frames = (values.reshape(shape) for values in turned)
    return _Sums(weights.numpy().reshape(*shape, -1), frames.numpy().reshape(*shape, -1), sine, cosine, shown_frames)


def _of_session(part: Part, conditions: Conditions, sums: _Sums) -> tuple[dict[int, dict[str, Any]], Arrays]:
    count = len(part.places)
    with np.errstate(invalid="ignore", divide="ignore"):
        responses = sums.weights.sum(2) / sums.frames.sum(2)
    lags, _, columns = responses.shape
    grid = responses.reshape(lags, len(conditions.orientations), len(conditions.frequencies), columns)
    rows: dict[int, dict[str, Any]] = {}
    found = [_tuned(grid[..., column], conditions, sums, column) for column in range(columns)]
    for place, cid in enumerate(part.cids):
        data, model = found[place], found[place + count]
        row: dict[str, Any] = {
            "n_frames": int(sums.frames[0, :, :, place].sum()),
            "n_spikes": int(sums.weights[0, :, :, place].sum()),
        }
        for suffix, own in (("", data), ("_model", model)):
            row |= {f"{key}{suffix}": value for key, value in own.figures(part.session.rate_hz).items()}
        row["phase_spikes"] = data.spikes
        row["amplitude_se"], row["shift_se"] = known(data.fit.amplitude_se), known(data.fit.shift_se)
        row["orientation_difference"] = _apart(data.orientation, model.orientation)
        rows[cid] = row
    arrays: Arrays = {
        "cids": np.array(part.cids),
        "orientations": conditions.orientations,
        "frequencies": conditions.frequencies,
        "lags": np.arange(lags),
        "rate_hz": np.array(part.session.rate_hz),
    }
    for name, first in (("data", 0), ("model", count)):
        tuned = found[first : first + count]
        arrays[f"responses_{name}"] = np.moveaxis(grid[..., first : first + count], -1, 0).astype(np.float32)
        arrays[f"orientation_{name}"] = np.stack([unit.by_orientation for unit in tuned])
        arrays[f"frequency_{name}"] = np.stack([unit.by_frequency for unit in tuned])
        if conditions.phase is not None:
            arrays[f"phase_{name}"] = np.stack([unit.by_phase for unit in tuned])
    return rows, arrays


@dataclass(frozen=True)
class _Tuned:
    """One unit, of data or model, at its peak lag."""

    lag: float
    snr: float
    orientation: float
    """Degrees in [0, 180)."""
    selectivity: float
    frequency: float
    fit: SineFit
    spikes: float
    by_orientation: Floats
    by_frequency: Floats
    by_phase: Floats

    def figures(self, rate: float) -> dict[str, float | None]:
        """What is told of the unit, at ``rate`` frames a second; None where it is not defined."""
        return {
            "peak_lag": known(self.lag),
            "peak_ms": known(1000.0 * self.lag / rate),
            "snr": known(self.snr),
            "orientation": known(self.orientation),
            "osi": known(self.selectivity),
            "frequency": known(self.frequency),
            "amplitude": known(self.fit.amplitude),
            "shift": known(self.fit.shift),
            "modulation": known(self.fit.modulation),
        }


def _tuned(grid: Floats, conditions: Conditions, sums: _Sums, column: int) -> _Tuned:
    """Tuning of responses ``(lags, O, S)``.

    The peak lag has the largest variance over conditions; a condition that was never shown counts for nothing.
    """
    lags = len(grid)
    with np.errstate(invalid="ignore"):
        spread = np.array([np.nanstd(one) if np.isfinite(one).any() else 0.0 for one in grid])
        lag, _ = peak_between(np.arange(lags, dtype=float), spread)
        best = grid[int(np.argmax(spread))]
        by_orientation = np.array([_mean(row) for row in best])
        by_frequency = np.array([_mean(column) for column in best.T])
    preferred, selectivity = circular_tuning(np.radians(conditions.orientations), np.nan_to_num(by_orientation))
    mean = _mean(best.flatten())
    snr = float(spread.max() / mean) if mean > 0 else float("nan")
    silent = not sums.weights[..., column].any()
    fit, spikes, by_phase = NO_FIT, 0.0, np.full(conditions.bins, np.nan)
    if not silent and conditions.phase is not None:
        condition = int(np.nanargmax(by_orientation)) * len(conditions.frequencies) + int(np.nanargmax(by_frequency))
        fit, spikes, by_phase = _phase(sums, int(np.argmax(spread)), condition, column)
    nan = float("nan")
    return _Tuned(
        nan if silent else lag,
        nan if silent else snr,
        float(np.degrees(preferred)),
        float(selectivity),
        nan if silent else float(conditions.frequencies[int(np.nanargmax(by_frequency))]),
        fit,
        spikes,
        by_orientation,
        by_frequency,
        by_phase,
    )


def _phase(sums: _Sums, lag: int, condition: int, column: int) -> tuple[SineFit, float, Floats]:
    """The sine through the responses to the phases of one grating, the spikes it is made of, and the responses."""
    weights, frames = sums.weights[lag, condition, :, column], sums.frames[lag, condition, :, column]
    shown = sums.shown[lag, condition]
    there = (frames > 0) & (shown > 0)
    mean = np.divide(weights, frames, out=np.full(len(frames), np.nan), where=frames > 0)
    if weights.sum() < FEWEST_SPIKES:
        return NO_FIT, float(weights.sum()), mean
    sine, cosine = (part[lag, condition][there] / shown[there] for part in (sums.sine, sums.cosine))
    return fit_sine(sine, cosine, mean[there], mean[there] / frames[there]), float(weights.sum()), mean


def _mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _apart(first: float, second: float) -> float | None:
    """Degrees between two orientations, 0 to 90."""
    return known(90.0 - abs(90.0 - abs(first - second) % 180.0))
