"""Which trials are for training, and which for validation?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

TRAIN, VAL = 0, 1


def split_trials(trials: NDArray[np.generic], train_fraction: float, seed: int) -> NDArray[np.generic]:
    """The training trials among `trials` (sorted, each once); the others are for validation.

    The first int(n * train_fraction) of a seeded permutation: the permutation that torch.manual_seed(seed) and
    torch.randperm(n) give, without touching the global generator.

    >>> split_trials(np.arange(5), 0.8, seed=1002).tolist()
    [0, 2, 3, 4]
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(trials), generator=generator).numpy()
    chosen = trials[order[: int(len(trials) * train_fraction)]]
    return np.sort(chosen)
