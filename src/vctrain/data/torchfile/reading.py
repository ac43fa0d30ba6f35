"""What does a file that torch wrote hold? The one way in which vctrain reads such files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from vctrain.data.inert import AsksToRun, Inert, Unreadable
from vctrain.data.torchfile.builders import STATES, TENSORS, VALUES
from vctrain.data.torchfile.pickles import MAX_PICKLE_BYTES, Builder, Machine
from vctrain.data.torchfile.stream import is_stream, read_stream
from vctrain.data.torchfile.tensors import Budget, Storage, storage_type
from vctrain.data.torchfile.zipped import Entry, NotAnArchive, entries_of
from vctrain.errors import ContractError


@dataclass(frozen=True)
class TorchFile:
    """What a file holds, and the names of the classes whose objects were left unread."""

    content: Any
    foreign: tuple[str, ...]


def read_torch_file(path: Path, what: str, *, mapped: bool = False) -> TorchFile:
    """The content of the file at ``path``, which is to be ``what`` (``"a checkpoint"``).

    Tensors, containers, numbers and text are built, with ``mapped`` alone and its tensors mapped from the file;
    otherwise tensors are copied and checked against the archive's checksums, and numpy's numbers and arrays, paths
    and namespaces are built too. Everything foreign becomes an `Inert`, or a `Reference` where only its name is said.

    Raises ContractError, naming the file, for one that is missing, damaged, in another format, larger when unpacked
    than it is, or that asks for code to run; nothing in it is ever run.
    """
    if not path.is_file():
        raise ContractError(f"{path} is not there", hint="check the path")
    builders = TENSORS if mapped else VALUES
    try:
        with path.open("rb") as file:
            try:
                entries = entries_of(file)
            except NotAnArchive:
                if mapped or not is_stream(file):
                    raise
                return TorchFile(*read_stream(file, builders, STATES))
            return _read_archive(path, file, entries, builders, mapped)
    except NotAnArchive:
        raise ContractError(
            f"{path} is truncated, or not {what}", hint="take an intact copy, saved with torch.save(...)"
        ) from None
    except AsksToRun as error:
        raise ContractError(
            f"{path} asks to run {error} when it is opened; nothing was run",
            hint="do not trust this file; have its tensors saved again with plain metadata",
        ) from None
    except Unreadable as error:
        raise ContractError(
            f"{path} cannot be read as {what} ({error})",
            hint="damaged or made by hand? take an intact copy, saved with torch.save(...)",
        ) from None
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read: {error.strerror or error}", hint="check who may read it, and its disk"
        ) from error


def _read_archive(
    path: Path,
    file: BinaryIO,
    entries: Mapping[str, Entry],
    builders: Mapping[tuple[str, str], Builder],
    mapped: bool,
) -> TorchFile:
    pickles = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise Unreadable("its archive holds no data.pkl, or several")
    root = pickles[0].partition("/")[0]
    if f"{root}/constants.pkl" in entries:
        raise Unreadable("it is a TorchScript program")
    for name, entry in entries.items():
        if not (mapped and name.startswith(f"{root}/data/")):
            entry.check(file)
    order = entries.get(f"{root}/byteorder")
    if order is not None and order.read(file) != b"little":
        raise Unreadable("its numbers are stored high byte first")
    pickle = entries[pickles[0]]
    if pickle.size > MAX_PICKLE_BYTES:
        raise Unreadable(f"its pickle has {pickle.size} bytes, {MAX_PICKLE_BYTES} are read at most")
    size = path.stat().st_size
    stored = _mapped(path, size) if mapped else _copied(file)
    storages = _Storages({name.removeprefix(f"{root}/data/"): e for name, e in entries.items()}, stored, Budget(size))
    machine = Machine(builders, STATES, storages)
    content = machine.run(io.BytesIO(pickle.read(file)))
    return TorchFile(content, tuple(machine.named))


def _mapped(path: Path, size: int) -> Callable[[Entry], torch.UntypedStorage]:
    whole = torch.UntypedStorage.from_file(str(path), False, size)
    return lambda entry: whole[entry.start : entry.start + entry.size]


def _copied(file: BinaryIO) -> Callable[[Entry], torch.UntypedStorage]:
    def read(entry: Entry) -> torch.UntypedStorage:
        if not entry.size:
            return torch.UntypedStorage(0)
        return torch.frombuffer(bytearray(entry.read(file)), dtype=torch.uint8).untyped_storage()

    return read


class _Storages:
    """The storages of an archive, read when a pickle first asks for them."""

    def __init__(
        self, entries: Mapping[str, Entry], stored: Callable[[Entry], torch.UntypedStorage], budget: Budget
    ) -> None:
        self._entries, self._stored, self._budget = entries, stored, budget
        self._read: dict[str, Storage] = {}

    def __call__(self, identity: tuple[Any, ...]) -> Storage | Inert:
        kind, of, key, _location, n_elements = identity
        if kind != "storage" or not isinstance(key, str) or type(n_elements) is not int:
            raise TypeError
        dtype = storage_type(of)
        if dtype is None:
            return Inert("torch.Storage of quantized numbers")
        entry = self._entries.get(key)
        if entry is None or n_elements * dtype.itemsize != entry.size:
            raise Unreadable(f"the numbers of storage {key[:40]} are missing, or of another length than it says")
        if key not in self._read:
            self._read[key] = Storage(self._stored(entry), dtype, self._budget)
        known = self._read[key]
        return known if known.dtype == dtype else Storage(known.bytes, dtype, self._budget)
