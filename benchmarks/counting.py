"""What a training step costs whatever the machine: arithmetic, operators, waits for the device, saved activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

SYNCS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero")
"""Operators whose result the host waits for."""
NO_KERNEL = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "lift_fresh")


class Operators(TorchDispatchMode):
    """Counts the ATen operators that reach a backend, forward and backward."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()
        self.views: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        launches_nothing = func.is_view or name in NO_KERNEL or name == "_unsafe_view"
        (self.views if launches_nothing else self.counts)[name] += 1
        return func(*args, **(kwargs or {}))


def operators(step: Callable[[], Any]) -> dict[str, Any]:
    """Operators that compute something, views beside them, and those the host waits for, in one ``step``."""
    with Operators() as counted:
        step()
    return {
        "operators": counted.counts.total(),
        "views": counted.views.total(),
        "syncs": sum(counted.counts[name] for name in SYNCS),
        "most": dict(counted.counts.most_common(12)),
    }


def flops(step: Callable[[], Any]) -> int:
    """Floating-point operations of products and convolutions in ``step``, an addition counted as one."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def saved_bytes(forward: Callable[[], Any], parameters: list[Tensor]) -> int:
    """Bytes that ``forward`` keeps for the backward pass, each storage once, without the parameters themselves."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    held: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = x
        return x

    with saved_tensors_hooks(keep, lambda x: x):
        result = forward()
    total = sum(x.untyped_storage().nbytes() for x in held.values())
    del result
    return total
