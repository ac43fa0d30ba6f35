"""What of a twin does torch.compile write kernels for? The vision, whose shapes are the same in every step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor


def _vision(frontend: Any, convnet: Any, x: Tensor) -> Tensor:
    x = x if frontend is None else frontend(x)
    return x if convnet is None else cast(Tensor, convnet(x))


@functools.cache
def compiled_vision() -> Callable[[Any, Any, Tensor], Tensor]:
    """``(frontend, convnet, x)`` to what leaves the convnet, compiled at the first call with each twin and shape.

    A part that cannot be compiled is an error, and so is a shape that keeps changing: neither runs uncompiled unseen.
    """
    import torch

    return torch.compile(_vision, fullgraph=True, dynamic=False)
