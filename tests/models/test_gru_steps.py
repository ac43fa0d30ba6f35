"""The written-out backward pass of the GRU is the one that autograd finds, step by step."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vctrain.models.gru_steps import gru_states


def step_by_step(drives: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    hidden, states = weight.shape[1], []
    state = drives.new_zeros(len(drives), hidden, *drives.shape[3:])
    for at in drives.unbind(1):
        pushed = F.conv2d(state.to(weight.dtype), weight, padding=weight.shape[-1] // 2).to(at.dtype)
        update, reset = torch.sigmoid(at[:, : 2 * hidden] + pushed[:, : 2 * hidden]).chunk(2, dim=1)
        recurrent = pushed[:, 2 * hidden :] + bias.view(-1, 1, 1)
        candidate = torch.tanh(at[:, 2 * hidden :] + reset * recurrent)
        state = torch.lerp(candidate, state, update)
        states.append(state)
    return torch.stack(states, dim=1)


def inputs(kernel: int, frames: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = (2, frames, 9, 4, 5), (9, 3, kernel, kernel), (3,)
    return [torch.randn(shape).mul_(0.5).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_states_and_gradients(kernel: int, frames: int) -> None:
    found, expected = inputs(kernel, frames), inputs(kernel, frames)
    mine, theirs = gru_states(*found), step_by_step(*expected)
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
    towards = torch.randn_like(mine)
    (mine * towards).sum().backward()
    (theirs * towards).sum().backward()
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-5)


def test_half_precision_stays_near() -> None:
    found, expected = inputs(3, 6), inputs(3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        mine = gru_states(*found)
    assert mine.dtype == torch.float32
    theirs = step_by_step(*expected)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0.03)
    mine.square().sum().backward()
    theirs.square().sum().backward()
    for x, y in zip(found, expected, strict=True):
        assert x.grad is not None
        assert y.grad is not None
        assert float((x.grad - y.grad).norm()) < 0.03 * float(y.grad.norm())


def test_without_a_gradient_the_same_states() -> None:
    given = inputs(3, 5)
    with torch.no_grad():
        torch.testing.assert_close(gru_states(*given), step_by_step(*given), rtol=1e-6, atol=1e-6)
