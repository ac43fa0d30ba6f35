"""What drawing the clips of a step costs, from 10^5 to 10^9 frames: the ratio to the smallest recording.

python -m benchmarks.sampling [--steps 300] [--repeats 7]

Four sessions of trials of 10 s at 120 Hz, in a quarter of which tracking is lost for half a second; draws alternate
between the sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from vctrain.config.schema import Curriculum
from vctrain.data.intervals import Intervals, Ints
from vctrain.data.sampler import ClipSampler

SIZES = (10**5, 10**6, 10**7, 10**8, 10**9)
TRIAL_FRAMES = 1200
GAP_EVERY, GAP_FRAMES = 5171, 60


class Recorded:
    """The part of a session that a sampler sees: trials of 10 s at 120 Hz, tracking gaps, a movie made on the spot."""

    def __init__(self, frames: int, index: int) -> None:
        self.name, self.subject = f"Subject{index}_1", f"Subject{index}"
        edges = np.arange(0, frames, TRIAL_FRAMES)
        self._segments = Intervals(np.stack([edges, np.minimum(edges + TRIAL_FRAMES, frames)], 1))
        lost = np.arange(0, frames, GAP_EVERY)
        tracked = Intervals(np.stack([lost + GAP_FRAMES, np.minimum(lost + GAP_EVERY, frames)], 1))
        self._scored = self._segments.intersection(tracked).trimmed(30)
        self._movie = np.random.default_rng(0).integers(0, 256, (64, 60, 60), dtype=np.uint8)

    def segments(self, split: str) -> Ints:
        """All trials."""
        return self._segments.table

    def scored(self, split: str = "all", context: int = 30) -> Intervals:
        """Frames with their context."""
        return self._scored

    def n_scored(self, split: str, context: int = 30) -> int:
        """How many."""
        return self._scored.total

    def clip_counts(self, starts: Ints, frames: int, context: int = 30) -> Ints:
        """Scored frames of the clips at ``starts``."""
        stops = np.minimum(starts + frames, self._segments.stops[self._segments.find(starts)])
        return self._scored.count(starts, stops)

    def frame(self, frame: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """A frame of noise."""
        return self._movie[frame % 64]


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    result = {}
    for name, changes in (
        ("stratified", {}),
        ("uniform", {"sampling": "uniform"}),
        ("curriculum", {"curriculum": Curriculum(warmup_steps=10**9)}),
        ("epoch", {"sampling": "epoch"}),
    ):
        samplers = [
            ClipSampler(
                [Recorded(frames // 4, index) for index in range(4)],  # type: ignore[misc]
                batch_clips=32, context=30, clip_frames=64, seed=0, **changes,
            )
            for frames in SIZES
        ]  # fmt: skip
        times: list[list[float]] = [[] for _ in SIZES]
        for _ in range(options.repeats):
            for sampler, spent in zip(samplers, times, strict=True):
                begin = time.perf_counter()
                for step in range(options.steps):
                    sampler.clips(step)
                spent.append((time.perf_counter() - begin) / options.steps)
        ratios = [statistics.median(b / a for a, b in zip(times[0], spent, strict=True)) for spent in times]
        result[name] = {
            "us_a_step": round(1e6 * statistics.median(times[0]), 1),
            "ratio": {f"{frames:.0e}": round(ratio, 3) for frames, ratio in zip(SIZES, ratios, strict=True)},
        }
    print(json.dumps({"benchmark": "sampling", **vars(options), **result}))


if __name__ == "__main__":
    main()
