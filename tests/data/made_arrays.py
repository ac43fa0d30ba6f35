"""Arrays that make up a session, and what is expected of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 100.0
FRAMES = 1200
NAME = "Ada_2024-05-06"


def arrays(frames: int = FRAMES, seed: int = 0) -> dict[str, Any]:
    """Everything that a session usually has: 10 trials of 120 frames, half a second apart."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames) / RATE + 0.5 * (np.arange(frames) // 120)
    return {
        "stim": rng.integers(0, 256, (frames, 4, 5), dtype=np.uint8),
        "spike_times": [np.sort(rng.uniform(-1, times[-1] + 1, 600 + 50 * unit)) for unit in range(3)],
        "frame_times": times,
        "eyepos": np.cumsum(rng.normal(0, 0.1, (frames, 2)), axis=0),
        "trials": np.repeat(np.arange(-(-frames // 120)), 120)[:frames],
    }


def brute_force(spikes: NDArray[np.float64], times: NDArray[np.float64], frame: int) -> int:
    """Spikes of one frame, by its definition."""
    median = np.median(np.diff(times))
    last = frame == len(times) - 1
    step = median if last or times[frame + 1] - times[frame] > 1.5 * median else None
    end = times[frame] + step if step is not None else times[frame + 1]
    return sum(1 for spike in spikes if times[frame] <= spike < end)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class Lazy:
    """A movie that is no array, such as a data set of HDF5."""

    def __init__(self, array: NDArray[Any], fails_at: int | None = None) -> None:
        self.shape, self.dtype, self._array, self._fails_at = array.shape, array.dtype, array, fails_at

    def __getitem__(self, key: slice) -> NDArray[Any]:
        if self._fails_at is not None and key.stop > self._fails_at:
            raise OSError("lost the disk")
        return self._array[key]
