"""Is eye tracking there, valid, in degrees, and alive?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.inspection.covariates import rows_of
from vctrain.data.inspection.findings import Findings, counted
from vctrain.data.intervals import CHUNK_FRAMES, runs_of_equal

FARTHEST_DEGREES = 60.0
"""No eye turns further; larger numbers are pixels or minutes of arc."""
FROZEN_SECONDS = 1.0
"""A living eye never holds one float for so long."""


def judge_validity(valid: torch.Tensor, rate_hz: float | None, findings: Findings, alone: bool) -> dict[str, Any]:
    """What there is to say about `dpi_valid`: how much is valid, how often and how long tracking is lost.

    No valid frame at all blocks the use of a recording that stands `alone`.
    """
    runs, value = runs_of_equal(lambda a, b: rows_of(valid, a, b) > 0, len(valid))
    lost = (runs[:, 1] - runs[:, 0])[~value.astype(bool)]
    fraction = 1 - int(lost.sum()) / max(len(valid), 1)
    longest = int(lost.max()) if len(lost) else 0
    if fraction == 0:
        findings.problem(
            "dpi_valid is 0 everywhere", "no frame counts; without eye tracking leave the covariate out", blocks=alone
        )
    elif fraction < 0.5:
        findings.problem(
            f"eye tracking is valid on {100 * fraction:.0f} % of frames only",
            "all others are left out; check the calibration and the criterion for dpi_valid",
        )
    return {
        "valid_fraction": fraction,
        "losses": len(lost),
        "longest_loss": longest / rate_hz if rate_hz else longest,
        "loss_in": "seconds" if rate_hz else "frames",
    }


def judge_gaze(
    gaze: torch.Tensor, valid: torch.Tensor | None, rate_hz: float | None, findings: Findings
) -> dict[str, Any]:
    """What there is to say about `eyepos` (F, C), degrees, on the frames that `valid` marks (None: all)."""
    n = len(gaze)
    far = lost = n_valid = 0
    first_lost: int | None = None
    low, high = np.full(gaze.shape[1], np.inf), np.full(gaze.shape[1], -np.inf)
    for start in range(0, n, CHUNK_FRAMES):
        values, good = _chunk(gaze, valid, start, min(start + CHUNK_FRAMES, n))
        finite = np.isfinite(values).all(axis=1)
        bad = np.flatnonzero(good & ~finite)
        if len(bad) and first_lost is None:
            first_lost = start + int(bad[0])
        lost += len(bad)
        n_valid += int(good.sum())
        used = values[good & finite]
        if len(used):
            far += int((np.abs(used) > FARTHEST_DEGREES).any(axis=1).sum())
            low, high = np.minimum(low, used.min(axis=0)), np.maximum(high, used.max(axis=0))
    if lost:
        findings.problem(
            f"eyepos is not finite on {counted(lost, 'frame')} that dpi_valid calls valid, first {first_lost:,}",
            "these frames are left out where behaviour is used; set dpi_valid to 0 there",
        )
    if far > 0.01 * max(n_valid, 1):
        findings.problem(
            f"eyepos is beyond {FARTHEST_DEGREES:g} on {100 * far / n_valid:.0f} % of valid frames",
            "store degrees of visual angle, not pixels or minutes of arc",
        )
    known = low <= high
    constant = known & (low == high)
    if constant.any():
        findings.problem(
            f"eyepos column {int(constant.argmax())} never changes",
            "the behaviour cannot be scaled by it; leave eyepos out if the eye was not tracked",
        )
    frozen = 0 if constant.any() or not rate_hz else _frozen(gaze, valid, max(2, round(FROZEN_SECONDS * rate_hz)))
    if frozen:
        findings.problem(
            f"eyepos stands still for {FROZEN_SECONDS:g} s or longer, {counted(frozen, 'frame')} in all, marked valid",
            "has the tracker lost the eye? set dpi_valid to 0 there",
        )
    return {
        "columns": gaze.shape[1],
        "range": [[float(a), float(b)] if k else None for a, b, k in zip(low, high, known, strict=True)],
        "valid_but_not_finite": lost,
        "frames_frozen": frozen,
    }


def _chunk(
    gaze: torch.Tensor, valid: torch.Tensor | None, start: int, stop: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    good = np.ones(stop - start, bool) if valid is None else rows_of(valid, start, stop) > 0
    return rows_of(gaze, start, stop).astype(np.float64), good


def _frozen(gaze: torch.Tensor, valid: torch.Tensor | None, least: int) -> int:
    """Frames in valid stretches of at least `least` frames with one and the same gaze."""

    def stands(start: int, stop: int) -> NDArray[np.generic]:
        first = max(start - 1, 0)
        values, good = _chunk(gaze, valid, first, stop)
        same = good[1:] & good[:-1] & (values[1:] == values[:-1]).all(axis=1)
        return same if start else np.concatenate([[False], same])

    runs, value = runs_of_equal(stands, len(gaze))
    lengths = (runs[:, 1] - runs[:, 0] + 1)[value.astype(bool)]
    return int(lengths[lengths >= least].sum())
