"""The steps of a convolutional GRU over time, with a backward pass of four operators a step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight


def gru_states(drives: Tensor, weight: Tensor, bias: Tensor, start: Tensor | None = None) -> Tensor:
    """States after each frame, ``(n, T, hidden, H, W)``, from a state of zero, or from ``start`` ``(n, hidden, H, W)``,
    to which no gradient goes.

    ``drives`` ``(n, T, 3 * hidden, H, W)`` is what the input gives to update gate, reset gate and candidate, ``weight``
    ``(3 * hidden, hidden, k, k)`` the kernels on the state, ``bias`` ``(hidden,)`` is added to what the candidate's
    make of it. States are float32; under autocast the convolutions are in its precision.
    """
    kind = drives.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    with torch.autocast(kind, enabled=False):
        states: Tensor = _Steps.apply(drives.float(), weight, bias, start, precision, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return states


class _Steps(torch.autograd.Function):
    """What the gradient of a state passes on at a step is the gradient times factors that are known from the forward
    pass, so they are computed for all steps at once; what weights and bias get is one product over all steps at the
    end. Only the way from a state to the one before it is left to be walked."""

    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        weight: Tensor,
        bias: Tensor,
        start: Tensor | None,
        precision: torch.dtype,
        differentiated: bool,
    ) -> Tensor:
        n, _, _, height, width = drives.shape
        hidden = weight.shape[1]
        kernels, padding = weight.to(precision), weight.shape[-1] // 2
        shift = bias.view(-1, 1, 1)
        into_gates, into_candidate = drives.split([2 * hidden, hidden], dim=2)
        assert start is None or not differentiated, "the backward pass starts from a state of zero"
        state = drives.new_zeros(n, hidden, height, width) if start is None else start
        states, gates, recurrents, candidates = [], [], [], []
        for to_gates, to_candidate in zip(into_gates.unbind(1), into_candidate.unbind(1), strict=True):
            pushed = F.conv2d(state.to(precision), kernels, padding=padding).float()
            to_both, to_new = pushed.split([2 * hidden, hidden], dim=1)
            both = torch.add(to_gates, to_both).sigmoid_()
            update, reset = both.chunk(2, dim=1)
            recurrent = to_new + shift
            candidate = torch.addcmul(to_candidate, reset, recurrent).tanh_()
            state = torch.lerp(candidate, state, update)
            states.append(state)
            if differentiated:
                gates.append(both)
                recurrents.append(recurrent)
                candidates.append(candidate)
        result = torch.stack(states, dim=1)
        if differentiated:
            kept = [torch.stack(steps, dim=1) for steps in (gates, recurrents, candidates)]
            ctx.save_for_backward(weight, result, *kept)
            ctx.precision = precision
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        weight, states, gates, recurrent, candidate = ctx.saved_tensors
        kernels, padding = weight.to(ctx.precision), weight.shape[-1] // 2
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
        update, reset = gates.chunk(2, dim=2)
        # Of the gradient of a state: what reaches update gate, reset gate (before their sigmoids), the recurrent part
        # of the candidate, and the candidate before its tanh.
        to_candidate = (1 - update) * (1 - candidate.square())
        to_update = (before - candidate) * update * (1 - update)
        to_reset = to_candidate * recurrent * reset * (1 - reset)
        factors = torch.stack([to_update, to_reset, to_candidate * reset], dim=2)
        frames = grad.shape[1]
        reached, ahead = [], grad[:, -1]
        whole = []
        for t in reversed(range(frames)):
            whole.append(ahead)
            pushed = (factors[:, t] * ahead[:, None]).flatten(1, 2)
            reached.append(pushed)
            if t:
                back = F.conv_transpose2d(pushed.to(ctx.precision), kernels, padding=padding).float()
                ahead = torch.addcmul(back, ahead, update[:, t]).add_(grad[:, t - 1])
        pushed, ahead = torch.stack(reached[::-1], dim=1), torch.stack(whole[::-1], dim=1)
        hidden = weight.shape[1]
        flat = (before.flatten(0, 1).to(ctx.precision), weight.shape, pushed.flatten(0, 1).to(ctx.precision))
        of_weight = conv2d_weight(*flat, padding=padding).to(weight.dtype)
        of_bias = pushed[:, :, 2 * hidden :].sum((0, 1, 3, 4))
        of_drives = torch.cat([pushed[:, :, : 2 * hidden], ahead * to_candidate], dim=2)
        return of_drives, of_weight, of_bias, None, None, None
