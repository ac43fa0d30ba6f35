"""Which trials are for training, which for validation, and which for the test?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

TRAIN, VAL, TEST = 0, 1, 2
SPLITS = ("train", "val", "test")
"""Their names, in the order of their numbers."""


def split_trials(trials: NDArray[np.generic], fractions: Sequence[float], seed: int) -> NDArray[np.int8]:
    """TRAIN, VAL or TEST for each of `trials` (sorted, each once), (n,) int8.

    The first int(n * train) of a seeded permutation are for training, the next for validation: all others, or, of
    fractions (train, val, test), up to int(n * (train + val)). The permutation is that which torch.manual_seed(seed)
    and torch.randperm(n) give, without touching the global generator.

    >>> split_trials(np.arange(5), (0.8,), seed=1002).tolist()
    [0, 1, 0, 0, 0]
    """
    n = len(trials)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    splits = np.full(n, VAL, np.int8)
    splits[order[: int(n * fractions[0])]] = TRAIN
    if len(fractions) == 3:
        # 0.7 + 0.1 is 0.7999999999999999
        splits[order[int(n * (fractions[0] + fractions[1]) + 1e-9) :]] = TEST
    return splits


def with_stored(
    trials: NDArray[np.generic], splits: NDArray[np.int8], stored: Mapping[str, Sequence[float]]
) -> tuple[NDArray[np.int8], int]:
    """`splits` with the trials that a checkpoint knows where it had them, and how many of `trials` it does not know.

    A recording that has grown since would otherwise be permuted anew, and trials trained on would be scored.

    >>> with_stored(np.arange(3), np.array([0, 0, 0], np.int8), {"val": [1], "train": [0]})
    (array([0, 1, 0], dtype=int8), 1)
    """
    known = {trial: number for number, name in enumerate(SPLITS) for trial in stored.get(name, ())}
    found = [known.get(trial, -1) for trial in trials.tolist()]
    kept = np.array([old if old >= 0 else new for old, new in zip(found, splits.tolist(), strict=True)], np.int8)
    return kept, found.count(-1)
