"""Trials go where the legacy pipeline put them, and no global generator is touched."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vctrain.data.splits import split_trials


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(-5, 10_000), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_training_trials_are_the_head_of_the_seeded_permutation(ids: set[int], fraction: float, seed: int) -> None:
    trials = np.array(sorted(ids))
    state = torch.get_rng_state()
    chosen = split_trials(trials, fraction, seed)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = trials[torch.randperm(len(trials)).numpy()[: int(len(trials) * fraction)]]
    assert chosen.tolist() == sorted(expected.tolist())
