"""What do frontend and convnet make of the stimulus, with kernels written for them by torch.compile or without?"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

Vision = Callable[[Any, Any, Tensor, Callable[..., Tensor]], Tensor]


def vision(frontend: Any, convnet: Any, x: Tensor, run: Callable[..., Tensor]) -> Tensor:
    """What leaves the convnet, of what the adapters made of the stimuli; ``run`` runs a stage, None is none."""
    x = x if frontend is None else run(frontend, x)
    return x if convnet is None else run(convnet, x)


@functools.cache
def compiled_vision() -> Vision:
    """`vision`, compiled at the first call with each twin and shape.

    A part that cannot be compiled is an error, and so is a shape that keeps changing: neither runs uncompiled unseen.
    """
    import torch

    return torch.compile(vision, fullgraph=True, dynamic=False)
