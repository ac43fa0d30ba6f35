"""What may a pickle call, and what is built for it?

Every builder checks its arguments and makes plain values itself; a call that is not understood leaves an `Inert`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vctrain.data.inert import Inert, Reference, Unreadable
from vctrain.data.torchfile.pickles import Builder, Fields, Machine, StateTaker
from vctrain.data.torchfile.tensors import tensor_of, tensor_with_dtype

Arguments = tuple[Any, ...]


class Dtype(Inert):
    """A numpy dtype: a code such as ``f8``, and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        super().__init__("numpy.dtype")
        self.code, self.order = code, "<"

    def plain(self) -> np.dtype[Any] | None:
        """The dtype, if it is one of booleans or numbers."""
        return np.dtype(self.order + self.code) if re.fullmatch(r"b1|[iu][1248]|f[248]|c8|c16", self.code) else None


class Array(Inert):
    """A numpy array; ``value`` is None until, and unless, it was read."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        super().__init__("numpy.ndarray")
        self.value: NDArray[Any] | None = None


def _left(what: str) -> Inert:
    return Inert(what)


def _pairs(machine: Machine, arguments: Arguments, made: dict[Any, Any]) -> dict[Any, Any]:
    """``made`` with the items of a mapping or of a sequence of pairs."""
    for argument in arguments:
        items = argument.items() if isinstance(argument, dict) else argument
        machine.spend(len(items))
        made.update((machine.key(key), value) for key, value in items)
    return made


def _ordered(machine: Machine, arguments: Arguments) -> dict[Any, Any]:
    return _pairs(machine, arguments, OrderedDict())


def _dictionary(machine: Machine, arguments: Arguments) -> dict[Any, Any]:
    return _pairs(machine, arguments, {})


def _default_dictionary(machine: Machine, arguments: Arguments) -> dict[Any, Any]:
    return _pairs(machine, arguments[1:], {})


def _fields(machine: Machine, arguments: Arguments) -> dict[Any, Any]:
    return _pairs(machine, tuple(part for part in arguments if isinstance(part, dict)), Fields())


def _items(machine: Machine, arguments: Arguments) -> list[Any]:
    """The items of the one container that a container is made from."""
    if not arguments:
        return []
    (container,) = arguments
    if not isinstance(container, list | tuple | set | frozenset | dict):
        raise TypeError
    machine.spend(len(container))
    return list(container)


def _list(machine: Machine, arguments: Arguments) -> Any:
    return _items(machine, arguments)


def _deque(machine: Machine, arguments: Arguments) -> Any:
    return _items(machine, arguments[:1])


def _tuple(machine: Machine, arguments: Arguments) -> Any:
    return tuple(_items(machine, arguments))


def _set(machine: Machine, arguments: Arguments) -> Any:
    return {machine.key(item) for item in _items(machine, arguments)}


def _frozen(machine: Machine, arguments: Arguments) -> Any:
    return frozenset(machine.key(item) for item in _items(machine, arguments))


def _bytes(machine: Machine, arguments: Arguments) -> Any:
    """How protocol 2 spells bytes."""
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        return _left("_codecs.encode")
    machine.spend(1, len(text))
    return text.encode("latin-1")


def _no_bytes(machine: Machine, arguments: Arguments) -> Any:
    """Protocol 2 spells empty bytes as a call without arguments."""
    return b"" if not arguments else _left("builtins.bytes")


def _tensor(machine: Machine, arguments: Arguments) -> Any:
    storage, offset, size, stride = arguments[:4]
    return tensor_of(storage, offset, size, stride)


def _tensor_with_dtype(machine: Machine, arguments: Arguments) -> Any:
    storage, offset, size, stride, _requires_grad, _hooks, dtype = arguments[:7]
    return tensor_with_dtype(storage, offset, size, stride, dtype)


def _parameter(machine: Machine, arguments: Arguments) -> Any:
    return arguments[0] if isinstance(arguments[0], Tensor) else _left("torch.nn.parameter.Parameter")


TENSORS: Mapping[tuple[str, str], Builder] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_with_dtype,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch", "Size"): _tuple,
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _default_dictionary,
    ("collections", "Counter"): _dictionary,
    ("collections", "deque"): _deque,
    ("builtins", "dict"): _dictionary,
    ("builtins", "list"): _list,
    ("builtins", "tuple"): _tuple,
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _frozen,
    ("builtins", "bytes"): _no_bytes,
    ("_codecs", "encode"): _bytes,
}
"""Tensors and containers."""


def _dtype(machine: Machine, arguments: Arguments) -> Any:
    code = arguments[0]
    return Dtype(code) if isinstance(code, str) else _left("numpy.dtype")


def _take_order(machine: Machine, dtype: Dtype, state: Any) -> None:
    if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
        dtype.order = state[1]
    else:
        dtype.code = ""


def _scalar(machine: Machine, arguments: Arguments) -> Any:
    dtype, raw = arguments
    plain = dtype.plain() if isinstance(dtype, Dtype) else None
    if plain is None or not isinstance(raw, bytes) or len(raw) != plain.itemsize:
        return machine.left(Reference("numpy", "generic"))
    return np.frombuffer(raw, plain)[0].item()


def _array(machine: Machine, arguments: Arguments) -> Any:
    return Array()


def _take_array(machine: Machine, array: Array, state: Any) -> None:
    """The state of an array: version, shape, dtype, whether Fortran order, bytes."""
    _version, shape, dtype, fortran, raw = state
    array.value = _filled(machine, raw, dtype, shape, "F" if fortran else "C")


def _array_of_buffer(machine: Machine, arguments: Arguments) -> Any:
    raw, dtype, shape, order = arguments
    made = Array()
    made.value = _filled(machine, raw, dtype, shape, order)
    return made


def _filled(machine: Machine, raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any] | None:
    plain = dtype.plain() if isinstance(dtype, Dtype) else None
    if plain is None or not isinstance(raw, bytes | bytearray) or order not in ("C", "F"):
        machine.left(Reference("numpy", "ndarray"))
        return None
    if len(shape) > 16 or not all(isinstance(side, int) and 0 <= side <= len(raw) for side in shape):
        raise Unreadable("one of its numpy arrays has no such shape")
    return np.frombuffer(raw, plain).reshape(shape, order=order)


def _path(kind: type[PurePath]) -> Builder:
    def build(machine: Machine, arguments: Arguments) -> Any:
        if not all(isinstance(part, str) for part in arguments):
            return _left("pathlib.Path")
        machine.spend(len(arguments), sum(len(part) for part in arguments))
        return kind(*arguments)

    return build


def _object(machine: Machine, arguments: Arguments) -> Any:
    """How older protocols start an object: its class, the builtin it extends, and that one's value."""
    kind = arguments[0]
    if not isinstance(kind, Reference):
        raise TypeError
    if kind.key in FIELDS:
        return _fields(machine, arguments[2:])
    return machine.left(kind)


_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFERS = ("numpy.core.numeric", "numpy._core.numeric")
_PATHS = {
    "Path": PurePosixPath,
    "PosixPath": PurePosixPath,
    "PurePosixPath": PurePosixPath,
    "WindowsPath": PureWindowsPath,
    "PureWindowsPath": PureWindowsPath,
}
FIELDS = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
    ("lightning.pytorch.utilities.parsing", "AttributeDict"),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
}
"""Classes whose instances are no more than their fields."""

VALUES: Mapping[tuple[str, str], Builder] = {
    **TENSORS,
    **{(module, "scalar"): _scalar for module in _ARRAYS},
    **{(module, "_reconstruct"): _array for module in _ARRAYS},
    **{(module, "_frombuffer"): _array_of_buffer for module in _BUFFERS},
    ("numpy", "dtype"): _dtype,
    **{(module, name): _path(kind) for module in ("pathlib", "pathlib._local") for name, kind in _PATHS.items()},
    **dict.fromkeys(FIELDS, _fields),
    ("copyreg", "_reconstructor"): _object,
}
"""Tensors and containers, and numpy's numbers and arrays, paths and namespaces."""


def _take_fields(machine: Machine, fields: Fields, state: Any) -> None:
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            _pairs(machine, (part,), fields)


STATES: Mapping[type, StateTaker] = {Dtype: _take_order, Array: _take_array, Fields: _take_fields}
