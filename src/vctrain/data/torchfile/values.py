"""How does content read from a file become plain values: numbers, text, lists and dictionaries?"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from torch import Tensor

from vctrain.data.inert import Inert
from vctrain.data.torchfile.builders import Array

MAX_LISTED = 100_000
"""A tensor or array with more elements is not written out as a list."""


def plain(value: Any) -> Any:
    """``value`` in numbers, text, lists and dictionaries; what is none of these stays an `Inert`.

    Depth and size are bounded by the reader. Tensors and arrays become lists, paths text.
    """
    if isinstance(value, dict):
        return {key if isinstance(key, str | int) else str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Array):
        if value.value is None or value.value.size > MAX_LISTED:
            return Inert(value.what)
        return value.value.tolist()
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= MAX_LISTED else Inert("torch.Tensor")
    return value
