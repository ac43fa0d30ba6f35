"""Means between two validations are the same whether the sums were stored in between or not, on any processes."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vctrain.training.collected import Collected, nothing, together

LOSSES = st.lists(st.floats(-10, 10, width=32) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=12)


def add(collected: Collected, losses: list[float]) -> None:
    for loss in losses:
        collected.add_loss(torch.tensor(loss))
        collected.add_term("penalty/r", torch.tensor(abs(loss) if math.isfinite(loss) else 1.0))
        collected.entries += torch.tensor([4.0, 6.0], dtype=torch.float64)


@given(LOSSES, st.integers(0, 12))
def test_a_stored_sum_goes_on(losses: list[float], cut: int) -> None:
    whole, before, after = Collected([2, 3]), Collected([2, 3]), Collected([2, 3])
    add(whole, losses)
    add(before, losses[:cut])
    after.restore(json.loads(json.dumps(before.state())))
    add(after, losses[cut:])
    assert after.take_frames() == whole.take_frames() == [2.0 * len(losses)] * 2
    first, second = (collected.take_means(lambda sums: sums) for collected in (whole, after))
    assert repr(first) == repr(second)


def test_a_loss_that_is_not_finite_is_left_out_and_none_is_told() -> None:
    collected = Collected([1])
    add_only = (math.nan, 3.0, math.inf, 1.0)
    for loss in add_only:
        collected.add_loss(torch.tensor(loss))
    assert collected.take_means(lambda sums: sums) == {"train_loss": 2.0}
    assert math.isnan(collected.take_means(lambda sums: sums)["train_loss"])


@given(LOSSES, LOSSES)
def test_sums_of_several_processes_are_those_of_one(one: list[float], other: list[float]) -> None:
    processes = [Collected([2, 3]), Collected([2, 3])]
    for collected, losses in zip(processes, (one, other), strict=True):
        add(collected, losses)
        collected.entries = torch.tensor([8.0, 9.0], dtype=torch.float64)
    merged, empty = Collected([2, 3]), Collected([2, 3])
    merged.restore(together([collected.state() for collected in processes]))
    empty.restore(nothing(2))
    summed = torch.stack([torch.stack([c.loss, c.steps, c.terms["penalty/r"]]) for c in processes]).sum(0)
    assert [float(merged.loss), float(merged.steps), float(merged.terms["penalty/r"])] == pytest.approx(summed.tolist())
    assert merged.take_frames() == [4.0, 3.0]
    assert empty.take_frames() == [0.0, 0.0]
