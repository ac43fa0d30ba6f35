"""Can the model that a file describes be built, within what that file can hold? Else the file is refused.

A damaged or hostile description may ask for layers of any size; they would be made before anybody compared them with
the stored tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from vctrain.errors import ContractError

MAX_ELEMENTS = 1 << 26
"""Of what one operation makes while a twin is built or tried on one window."""

_DESCRIBED_WRONGLY = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, MemoryError)
"""What sizes and names that no model can have make torch and its layers raise."""


class Bounded(TorchFunctionMode):
    """For building and trying a model as a file describes it: what goes wrong inside is that file's ContractError,
    and so are operations whose result would be too large, or too many of them.

    The size of a result is found by running the operation on tensors without storage first. What is made from nothing
    (weights) may come to a few times what ``weights`` hold; the number of operations grows with that of the weights.
    """

    def __init__(self, weights: Iterable[Tensor], where: str) -> None:
        super().__init__()
        sizes = [tensor.numel() for tensor in weights]
        self._made_left = 8 * sum(sizes) + (1 << 24)
        self._steps_left = 5_000 + 200 * len(sizes)
        self._where = where

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._check(func, args, kwargs)
        return func(*args, **kwargs)

    def _check(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._steps_left -= 1
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        try:
            with torch.device("meta"):
                made = func(*tree_map(_without_storage, args), **tree_map(_without_storage, kwargs))
        except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
            # not known without storage, or wrong: then the operation itself says so
            made = ()
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if not given:
            self._made_left -= sum(sizes)
        if self._steps_left < 0 or self._made_left < 0 or max(sizes, default=0) > MAX_ELEMENTS:
            raise ContractError(
                f"{self._where}: the model it describes is far larger than its tensors",
                hint="the description is damaged, or belongs to another file; take an intact copy",
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if isinstance(error, _DESCRIBED_WRONGLY):
            reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
            raise ContractError(
                f"{self._where}: the model it describes cannot be built ({reason})",
                hint="the description is damaged, or belongs to another file; take an intact copy",
            ) from error


def _without_storage(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
