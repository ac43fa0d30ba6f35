"""How are windows normalised, split by sign and pooled without being written out before they are small?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.models.legacy.activations import SplitReLU
from vctrain.models.legacy.convs import three
from vctrain.models.legacy.norms import ResponseNorm
from vctrain.models.legacy.windows import Windows


def as_poolable(steps: Sequence[nn.Module]) -> tuple[ResponseNorm, SplitReLU, nn.MaxPool3d] | None:
    """The steps, if they are three that `pooled` computes."""
    if len(steps) != 3:
        return None
    norm, activation, pool = steps
    if not (isinstance(norm, ResponseNorm) and isinstance(activation, SplitReLU) and isinstance(pool, nn.MaxPool3d)):
        return None
    return (norm, activation, pool) if activation.split_dim == 1 and three(pool.padding)[0] == 0 else None


def pooled(x: Windows, norm: ResponseNorm, activation: SplitReLU, pool: nn.MaxPool3d) -> Tensor:
    """``pool(activation(norm(x)))`` of windows, ``(windows, 2 C, T, H, W)``.

    A gain and an offset that are the same all over a window, and a rectification, keep the order of values or turn it
    round. So the largest of the results comes from the largest or the least of the inputs: these are found once for all
    windows that hold a frame, and only they are scaled.
    """
    kernel, stride, (_, *padding) = three(pool.kernel_size), three(pool.stride), three(pool.padding)
    gain = norm.gain_of(x)
    highest = x.largest(kernel, stride, (padding[0], padding[1])).gather()
    lowest = -x.map(torch.neg).largest(kernel, stride, (padding[0], padding[1])).gather()
    up = gain >= 0
    top, bottom = torch.where(up, highest, lowest), torch.where(up, lowest, highest)
    positive = F.relu(norm.scaled(top, gain)) * activation.ongain.abs()
    return torch.cat([positive, F.relu(-norm.scaled(bottom, gain))], dim=1)
