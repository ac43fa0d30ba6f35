"""How does a tensor come about from stored bytes, such that it never reaches beyond them?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vctrain.data.inert import Inert, Reference, Unreadable

MAX_DIMS = 32
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}
_QUANTIZED = ("QInt8Storage", "QInt32Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage")
_DTYPE_NAMES = (
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 uint16 uint32 uint64 bool complex128 complex64 "
    "complex32 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz"
)
DTYPES = {name: dtype for name in _DTYPE_NAMES.split() if isinstance(dtype := getattr(torch, name, None), torch.dtype)}


class Storage:
    """The numbers of one or more tensors: their bytes, their type, and what tensors may still claim of them."""

    __slots__ = ("budget", "bytes", "dtype")

    def __init__(self, stored: torch.UntypedStorage, dtype: torch.dtype, budget: Budget) -> None:
        self.bytes, self.dtype, self.budget = stored, dtype, budget


class Budget:
    """How many bytes all tensors of a file may have together, which bounds what copies of them take."""

    def __init__(self, file_size: int) -> None:
        self.left = 2 * file_size + (1 << 26)

    def spend(self, size: int) -> None:
        """Unreadable once tensors sharing their bytes outgrow the file."""
        self.left -= size
        if self.left < 0:
            raise Unreadable("its tensors are together much larger than the file")


def storage_type(kind: Any) -> torch.dtype | None:
    """The type of the numbers in a storage that a pickle names; None for quantized ones.

    Unreadable for anything else.
    """
    if isinstance(kind, Reference) and kind.module in ("torch", "torch.storage", "torch.cuda"):
        if kind.name in _STORAGES:
            return _STORAGES[kind.name]
        if kind.name in _QUANTIZED:
            return None
    raise Unreadable("it stores numbers of an unknown type")


def tensor_of(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor | Inert:
    """The tensor of ``size`` and ``stride`` from element ``offset`` of a `Storage`."""
    if isinstance(storage, Inert):
        return Inert("torch.Tensor of quantized numbers")
    if not isinstance(storage, Storage):
        raise TypeError
    return _strided(storage, storage.dtype, offset, size, stride)


def tensor_with_dtype(storage: Any, offset: Any, size: Any, stride: Any, dtype: Any) -> Tensor | Inert:
    """A tensor whose type is named beside its storage."""
    if not isinstance(storage, Storage) or not isinstance(dtype, Reference):
        raise TypeError
    if dtype.module != "torch" or dtype.name not in DTYPES:
        return Inert(f"torch.Tensor of {dtype.what}")
    return _strided(storage, DTYPES[dtype.name], offset, size, stride)


def _strided(storage: Storage, dtype: torch.dtype, offset: Any, size: Any, stride: Any) -> Tensor:
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise TypeError
    numbers = (offset, *size, *stride)
    if len(size) > MAX_DIMS or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers):
        raise Unreadable("one of its tensors has no such shape")
    n_elements = 1
    for side in size:
        n_elements *= side
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if n_elements and (last + 1) * dtype.itemsize > storage.bytes.nbytes():
        raise Unreadable(f"one of its tensors, {list(size)}, is larger than what is stored of it")
    if not n_elements:
        return torch.empty(size, dtype=dtype)
    storage.budget.spend(n_elements * dtype.itemsize)
    return torch.empty(0, dtype=dtype).set_(storage.bytes, offset, size, stride)
