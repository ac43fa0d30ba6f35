"""What does a file hold that torch wrote before it wrote archives (1.5 and earlier, or when asked to)?

Five pickles one after another (a magic number, the format, the writing machine, the content, the keys of its
storages), then each storage: how many elements, and their bytes. There are no checksums.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import torch

from vctrain.data.inert import Inert, Unreadable
from vctrain.data.torchfile.pickles import MAX_PICKLE_BYTES, Builder, Machine, StateTaker
from vctrain.data.torchfile.tensors import Budget, Storage, storage_type

_MAGIC = 0x1950A86A20F9469CFC6C
_FORMAT = 1001


def is_stream(file: BinaryIO) -> bool:
    """Whether a file starts with the magic number, in whatever protocol."""
    file.seek(0)
    return _MAGIC.to_bytes(10, "little") in file.read(32)


def read_stream(
    file: BinaryIO, builders: Mapping[tuple[str, str], Builder], states: Mapping[type, StateTaker]
) -> tuple[Any, tuple[str, ...]]:
    """The content, and the names of what was left unread; Unreadable with what is wrong."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    # pickles come first, and are small beside the numbers
    start = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    storages = _Storages(size)
    machine = Machine(builders, states, storages)
    plain = Machine({}, {}, storages.refuse)
    magic, version, writer = (plain.run(start) for _ in range(3))
    if magic != _MAGIC or version != _FORMAT or not isinstance(writer, dict):
        raise Unreadable("its format is unknown")
    if not writer.get("little_endian", True):
        raise Unreadable("its numbers are stored high byte first")
    content = machine.run(start)
    keys = plain.run(start)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages.read):
        raise Unreadable("the storages it lists are not those it uses")
    file.seek(start.tell())
    for key in keys:
        storages.read[str(key)].fill(file)
    if file.read(1):
        raise Unreadable("bytes lie behind its last number")
    return content, tuple(machine.named)


class _Awaited:
    """A storage whose bytes follow later in the file."""

    def __init__(self, key: str, dtype: torch.dtype, n_elements: int) -> None:
        self.key, self.dtype, self.n_elements = key, dtype, n_elements
        self.bytes = torch.UntypedStorage(n_elements * dtype.itemsize)

    def fill(self, file: BinaryIO) -> None:
        """Read the bytes; Unreadable if they are not as many as was said."""
        head = file.read(8)
        if len(head) != 8 or struct.unpack("<q", head)[0] != self.n_elements:
            raise Unreadable(f"storage {self.key[:40]} is cut off, or of another length than it says")
        data = file.read(self.bytes.nbytes())
        if len(data) != self.bytes.nbytes():
            raise Unreadable(f"storage {self.key[:40]} is cut off")
        if data:
            whole = torch.empty(0, dtype=torch.uint8).set_(self.bytes)
            whole.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))


class _Storages:
    """The storages that a pickle names, empty until the file's position reaches them; no larger than the file."""

    def __init__(self, file_size: int) -> None:
        self.read: dict[str, _Awaited] = {}
        self._left = file_size
        self._budget = Budget(file_size)

    def refuse(self, identity: tuple[Any, ...]) -> Any:
        """For pickles without storages."""
        raise TypeError

    def __call__(self, identity: tuple[Any, ...]) -> Any:
        if identity[0] == "module":
            # a class with its source code, which is not looked at
            return identity[1]
        kind, of, key, _location, n_elements, view = identity
        if kind != "storage" or not isinstance(key, str) or type(n_elements) is not int or n_elements < 0:
            raise TypeError
        dtype = storage_type(of)
        if dtype is None:
            return Inert("torch.Storage of quantized numbers")
        if key not in self.read:
            self._left -= n_elements * dtype.itemsize
            if self._left < 0:
                raise Unreadable(f"storage {key[:40]} is larger than the file")
            self.read[key] = _Awaited(key, dtype, n_elements)
        known = self.read[key]
        if (known.dtype, known.n_elements) != (dtype, n_elements):
            raise Unreadable(f"storage {key[:40]} is described in two ways")
        if view is None:
            return Storage(known.bytes, dtype, self._budget)
        _view_key, offset, length = view
        if type(offset) is not int or type(length) is not int or not 0 <= offset <= offset + length <= n_elements:
            raise Unreadable(f"a part of storage {key[:40]} reaches beyond it")
        return Storage(known.bytes[offset * dtype.itemsize : (offset + length) * dtype.itemsize], dtype, self._budget)
