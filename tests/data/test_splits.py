"""Trials go where the legacy pipeline put them, and no global generator is touched."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.splits import TEST, TRAIN, VAL, split_trials


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(-5, 10_000), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_training_trials_are_the_head_of_the_seeded_permutation(ids: set[int], fraction: float, seed: int) -> None:
    trials = np.array(sorted(ids))
    state = torch.get_rng_state()
    splits = split_trials(trials, (fraction,), seed)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = trials[torch.randperm(len(trials)).numpy()[: int(len(trials) * fraction)]]
    assert trials[splits == TRAIN].tolist() == sorted(expected.tolist())
    assert set(splits.tolist()) <= {TRAIN, VAL}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 18), st.integers(1, 18), st.integers(0, 2**31))
def test_three_splits_share_the_permutation_of_two(n: int, train: int, val: int, seed: int) -> None:
    """Twentieths of the trials, also where their decimal fractions do not add up exactly."""
    if train + val >= 20:
        return
    fractions = (train / 20, val / 20, 1 - train / 20 - val / 20)
    trials = np.arange(n) * 3
    splits = split_trials(trials, fractions, seed)
    assert (splits == TRAIN).tolist() == (split_trials(trials, fractions[:1], seed) == TRAIN).tolist()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    first, second = int(n * (train / 20)), n * (train + val) // 20
    assert set(order[first:second]) == set(np.flatnonzero(splits == VAL))
    assert set(order[second:]) == set(np.flatnonzero(splits == TEST))
