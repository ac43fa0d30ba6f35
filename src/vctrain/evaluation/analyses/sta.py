"""Where, when and to what does each unit respond: spike-triggered average and energy of data and of the model?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vctrain.errors import ContractError, UsageError
from vctrain.evaluation.analyses.chosen import Asked, Chosen, Part, choose, needs_stimulus
from vctrain.evaluation.analyses.findings import Arrays, Findings, known, median
from vctrain.evaluation.passes import Predicted, predictions
from vctrain.stats.maps import MapSums, accumulate, differences, find_positions
from vctrain.stats.triggered import Strength, effective_number, similarity, standard_scores, strength

NOISE = ("gaborium",)
"""Stimuli without correlations between frames, which spikes may be averaged over."""
SECONDS = 0.13
"""Of stimulus history that maps are made of, unless told otherwise."""
IMPOSSIBLE = 6
"""Lags after the response, which tell what maps without a signal look like."""
Floats = NDArray[np.float64]


@dataclass
class _Moments:
    """Beside `MapSums`, of the same frames: weights and their squares (2 U,), counted frames (2 U,), fourth powers of
    the contrast (P,)."""

    total: Tensor
    squares: Tensor
    frames: Tensor
    fourth: Tensor


def sta(target: str, asked: Asked, *, lags: int | None = None) -> Findings:
    """Spike-triggered average and energy of ``target``'s units, of observed counts and of predicted rates.

    ``lags`` frames of history, lag 0 the scored frame itself (default: `SECONDS`). Arrays of a session: ``sta_data``,
    ``sta_model``, ``ste_data``, ``ste_model`` (U, lags, H, W), the same with ``_z`` in standard errors, ``lags``
    (lags,), ``cids`` (U,). Raises UsageError for less than one lag, ContractError for a twin that reads no stimulus or
    a session without a frame that counts.
    """
    if lags is not None and lags < 1:
        raise UsageError(f"--lags {lags}: there must be one at least", hint="such as --lags 16")
    chosen = choose(target, asked)
    needs_stimulus(chosen, "spike-triggered average")
    units: dict[str, dict[int, dict[str, Any]]] = {}
    arrays: dict[str, Arrays] = {}
    for part in chosen.parts:
        number = lags or max(2, round(SECONDS * part.session.rate_hz))
        units[part.session.name], arrays[part.session.name] = _of_session(chosen, part, number)
    overall = {
        "n_units": sum(map(len, units.values())),
        "median_sta_similarity": median(units, "sta_similarity"),
        "median_ste_similarity": median(units, "ste_similarity"),
        "median_sta_snr": median(units, "sta_snr"),
        "median_ste_snr": median(units, "ste_snr"),
    }
    settings = {"types": list(asked.question.types or ()), "lags": lags, "impossible_lags": IMPOSSIBLE}
    return Findings("sta", chosen, settings, units, overall, arrays)


def _of_session(chosen: Chosen, part: Part, lags: int) -> tuple[dict[int, dict[str, Any]], Arrays]:
    session, count = part.session, len(part.places)
    nothing = torch.zeros(2 * count, dtype=torch.float64)
    moments = _Moments(nothing, nothing.clone(), nothing.clone(), torch.zeros(0, dtype=torch.float64))
    question = chosen.question
    clips = predictions(chosen.twin, session, question.split, chosen.device, units=part.places, context=lags - 1)
    sums = accumulate(_weighted(clips, moments), lags + IMPOSSIBLE)
    if sums is None or sums.frames == 0:
        raise ContractError(
            f"session {session.name}: no {question.split} frame has {lags - 1} frames before it and "
            f"{IMPOSSIBLE} after it in its trial",
            hint="ask for fewer --lags, or another --split",
        )
    average, energy, scores_average, scores_energy = _maps(sums, moments)
    positions = find_positions(sums, session.height, session.width)
    half = torch.tensor([(session.height - 1) / 2, (session.width - 1) / 2])
    centres = ((positions.center + 1) * half).double().numpy()
    strengths = {"sta": strength(scores_average, IMPOSSIBLE), "ste": strength(scores_energy, IMPOSSIBLE)}
    alike = {
        kind: similarity(scores[IMPOSSIBLE:, :count], scores[IMPOSSIBLE:, count:])
        for kind, scores in (("sta", scores_average), ("ste", scores_energy))
    }
    rows = {}
    for place, cid in enumerate(part.cids):
        row: dict[str, Any] = {"n_frames": int(moments.frames[place]), "n_spikes": int(moments.total[place])}
        for kind, found in strengths.items():
            row |= _strength_row(kind, found, place, place + count, session.rate_hz)
            row[f"{kind}_similarity"] = known(alike[kind][place])
        for name, at in (("data", place), ("model", place + count)):
            row[f"energy_index_{name}"] = _energy_index(strengths, at)
            clear = bool(positions.clear[at])
            row[f"rf_y_{name}"], row[f"rf_x_{name}"] = (
                (float(centres[at, 0]), float(centres[at, 1])) if clear else (None, None)
            )
        rows[cid] = row
    shape = (count, lags, session.height, session.width)
    arrays: Arrays = {"cids": np.array(part.cids), "lags": np.arange(lags), "rate_hz": np.array(session.rate_hz)}
    for name, maps in (("sta", average), ("ste", energy), ("sta_z", scores_average), ("ste_z", scores_energy)):
        kind, _, suffix = name.partition("_")
        for whose, own in (("data", maps[:, :count]), ("model", maps[:, count:])):
            key = f"{kind}_{whose}" + (f"_{suffix}" if suffix else "")
            arrays[key] = np.moveaxis(own[IMPOSSIBLE:], 0, 1).reshape(shape).astype(np.float32)
    return rows, arrays


def _weighted(clips: Iterator[Predicted], moments: _Moments) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """What `accumulate` reads, with `IMPOSSIBLE` frames after each weighted one; adds to ``moments`` on the way."""
    for clip in clips:
        contrast, (whole, counts) = clip.contrast, clip.weights()
        assert contrast is not None
        scored = whole.shape[1] - IMPOSSIBLE
        if scored < 1:
            continue
        later = counts[:, IMPOSSIBLE:].any(2, keepdim=True)
        valid, weights = counts[:, :scored] & later, whole[:, :scored]
        counted = torch.where(valid, weights, torch.zeros(())).double()
        moments.total += counted.sum((0, 1))
        moments.squares += counted.square().sum((0, 1))
        moments.frames += valid.sum((0, 1))
        first = contrast.shape[1] - whole.shape[1]
        shown = contrast[:, first : first + scored][valid.any(2)].flatten(1).double()
        fourth = shown.pow(4).sum(0)
        moments.fourth = fourth if not len(moments.fourth) else moments.fourth + fourth
        yield contrast, weights, valid


def _maps(sums: MapSums, moments: _Moments) -> tuple[Floats, Floats, Floats, Floats]:
    """Average, and energy as a fraction of the mean energy of each pixel, ``(lags, 2 U, P)``; then both in standard
    errors."""
    average, energy, _ = (found.double().numpy() for found in differences(sums))
    mean, square = (found[IMPOSSIBLE].double().numpy() / sums.frames for found in (sums.mean, sums.square))
    fourth = moments.fourth.numpy() / sums.frames
    safe = np.where(square > 0, square, 1.0)
    energy = energy / safe
    number = effective_number(moments.total.numpy(), moments.squares.numpy(), moments.frames.numpy())
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    # A binary stimulus has the same energy in every frame: what is left is rounding, and no map.
    spread = np.maximum(fourth - square**2, 0.0)
    energy_deviation = np.where(spread > 1e-6 * square**2, np.sqrt(spread), 0.0) / safe
    return (
        average,
        energy,
        standard_scores(average, deviation, number),
        standard_scores(energy, energy_deviation, number),
    )


def _strength_row(kind: str, found: Strength, data: int, model: int, rate: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for suffix, at in (("", data), ("_model", model)):
        snr = known(found.snr[at])
        lag = int(found.peak_lag[at])
        row[f"{kind}_peak_lag{suffix}"] = None if snr is None else lag
        row[f"{kind}_peak_ms{suffix}"] = None if snr is None else 1000.0 * lag / rate
        row[f"{kind}_snr{suffix}"] = snr
    return row


def _energy_index(strengths: dict[str, Strength], at: int) -> float | None:
    """(E - A) / (E + A) of the signal-to-noise ratios of energy and average: 1 for a unit seen by its energy alone."""
    average, energy = (float(strengths[kind].snr[at]) for kind in ("sta", "ste"))
    return known((energy - average) / (energy + average)) if energy + average > 0 else None
