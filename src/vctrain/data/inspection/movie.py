"""Does the movie look like grey levels around 127 that change?"""

from __future__ import annotations

from typing import Any

import numpy as np

from vctrain.data.clips import MEAN_GREY
from vctrain.data.inspection.covariates import Values
from vctrain.data.inspection.findings import Findings, counted

OFF_CENTRE = 16.0
"""Grey levels by which the mean of a movie may differ from mean grey without a note."""
OFTEN_REPEATED = 0.4


class MovieSums:
    """Sums over the frames that were looked at."""

    def __init__(self) -> None:
        self.n = self.pairs = self.repeats = self.blank = 0
        self.total = self.contrast = 0.0
        self.low, self.high = 255, 0
        self._last: tuple[int, Values] | None = None

    def add(self, start: int, frames: Values) -> None:
        """Take in the frames (n, H, W) uint8 from `start`."""
        flat = frames.reshape(len(frames), -1)
        if flat.size == 0:
            return
        self.n += len(flat)
        deviation = flat.astype(np.float32).std(axis=1)
        self.total += float(flat.mean(axis=1, dtype=np.float64).sum())
        self.contrast += float(deviation.sum())
        self.blank += int((deviation == 0).sum())
        self.low, self.high = min(self.low, int(flat.min())), max(self.high, int(flat.max()))
        if self._last is not None and self._last[0] == start:
            flat = np.concatenate([self._last[1], flat])
        self.pairs += len(flat) - 1
        self.repeats += int((flat[1:] == flat[:-1]).all(axis=1).sum())
        self._last = (start + len(frames), flat[-1:])


def judge_movie(sums: MovieSums, n_frames: int, rate_hz: float | None, findings: Findings) -> dict[str, Any]:
    """What there is to say about a movie of `n_frames`."""
    n = max(sums.n, 1)
    checked = "" if sums.n == n_frames else f" (of the {counted(sums.n, 'frame')} looked at)"
    mean, repeated = sums.total / n, sums.repeats / max(sums.pairs, 1)
    if sums.low == sums.high:
        findings.problem(
            f"stim is {sums.low} everywhere{checked}", "there is no stimulus to see; store the movie shown"
        )
    elif sums.pairs and sums.repeats == sums.pairs:
        findings.problem(f"stim never changes{checked}", "a still image; store the movie frame by frame")
    elif sums.high <= 1:
        findings.problem(f"stim has the values 0 and 1 only{checked}", "scale it to grey levels, 127 = mean grey")
    elif abs(mean - MEAN_GREY) > OFF_CENTRE:
        findings.note(
            f"the mean grey level is {mean:.0f}{checked}; vctrain takes {MEAN_GREY} for mean grey, also where it pads"
        )
    if OFTEN_REPEATED < repeated < 1:
        at = f", as if shown at {rate_hz * (1 - repeated):.3g} Hz" if rate_hz else ""
        findings.note(f"{100 * repeated:.0f} % of frames repeat the one before{at}")
    if checked:
        findings.note(f"movie checked on {sums.n:,} of {n_frames:,} frames, in stretches spread over the recording")
    return {
        "frames_checked": sums.n,
        "mean": mean,
        "contrast": sums.contrast / n / MEAN_GREY,
        "blank_fraction": sums.blank / n,
        "repeated_fraction": repeated,
    }
