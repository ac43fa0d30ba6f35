"""Which entries does a zip archive written by torch have, and where do their bytes lie?

Only what torch (or a plain copy of its archive) writes is accepted: stored entries side by side, each described twice
in the same words, with nothing between, before or after them. Nothing is unpacked, so no entry is larger than the
file, and no two share bytes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vctrain.data.inert import Unreadable

MAX_ENTRIES = 200_000
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CHUNK = 1 << 20
_UNSET16, _UNSET32 = 0xFFFF, 0xFFFFFFFF
_PADDING = int.from_bytes(b"FB", "little")
_EXTRA = (_PADDING, 0x0001, 0x000A, 0x5455, 0x5855, 0x7875)
"""Kinds of fields between a name and the bytes: torch's padding, large sizes, and what zip tools note of files."""


class NotAnArchive(Unreadable):
    """The file does not end as a zip archive does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes of an archive: ``size`` of them from ``start``, with their checksum."""

    name: str
    start: int
    size: int
    crc: int

    def read(self, file: BinaryIO) -> bytes:
        """The bytes; Unreadable if they were changed."""
        file.seek(self.start)
        data = file.read(self.size)
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise Unreadable(f"the bytes of {self.name} are damaged")
        return data

    def check(self, file: BinaryIO) -> None:
        """Unreadable if the bytes were changed; keeps little of them in memory."""
        file.seek(self.start)
        crc, left = 0, self.size
        while left and (piece := file.read(min(left, _CHUNK))):
            crc, left = zlib.crc32(piece, crc), left - len(piece)
        if left or crc != self.crc:
            raise Unreadable(f"the bytes of {self.name} are damaged")


@dataclass(frozen=True, slots=True)
class _Described:
    """An entry in the words of the table at the end of the archive."""

    name: bytes
    header: int
    size: int
    crc: int
    flags: int
    said: tuple[int, ...]
    """What the header before the bytes must repeat: version needed, flags, method, time, date."""


def entries_of(file: BinaryIO) -> dict[str, Entry]:
    """The entries of an archive by name.

    Raises NotAnArchive, or Unreadable with what is wrong.
    """
    size = file.seek(0, os.SEEK_END)
    n_entries, table_start, table = _table(file, size)
    described = sorted(_described(table, n_entries), key=lambda entry: entry.header)
    entries: dict[str, Entry] = {}
    at = 0
    for number, entry in enumerate(described):
        after = described[number + 1].header if number + 1 < len(described) else table_start
        if entry.header != at:
            raise Unreadable("its entries overlap, or bytes lie between them")
        name = entry.name.decode("utf-8", "replace")
        if name in entries:
            raise Unreadable(f"it has two entries called {name}")
        entries[name] = Entry(name, _data_start(file, entry, after), entry.size, entry.crc)
        at = after
    if at != table_start:
        raise Unreadable("bytes lie before its entries")
    return entries


def _table(file: BinaryIO, size: int) -> tuple[int, int, bytes]:
    """The number of entries, and where the table of them starts and what it holds."""
    end_at = size - _END.size
    if end_at < 0:
        raise NotAnArchive("it is too short")
    mark, disk, table_disk, n_here, n, table_size, table_start, comment = _END.unpack(_bytes(file, end_at, _END.size))
    if mark != b"PK\x05\x06" or comment:
        raise NotAnArchive("its end is not that of an archive")
    stops_at = end_at
    locator_at = end_at - _LOCATOR64.size
    if locator_at >= 0 and _bytes(file, locator_at, 4) == b"PK\x06\x07":
        _, one_disk, large_at, disks = _LOCATOR64.unpack(_bytes(file, locator_at, _LOCATOR64.size))
        if one_disk or disks != 1 or large_at + _END64.size != locator_at:
            raise Unreadable("its end contradicts itself")
        large = _END64.unpack(_bytes(file, large_at, _END64.size))
        mark, length, _, _, disk64, table_disk64, n_here64, n64, table_size64, table_start64 = large
        small = (n_here, n, table_size, table_start)
        wide = (n_here64, n64, table_size64, table_start64)
        unset = (_UNSET16, _UNSET16, _UNSET32, _UNSET32)
        if mark != b"PK\x06\x06" or length != _END64.size - 12 or disk64 or table_disk64:
            raise Unreadable("its end contradicts itself")
        if any(ours not in (none, theirs) for ours, none, theirs in zip(small, unset, wide, strict=True)):
            raise Unreadable("its end contradicts itself")
        n_here, n, table_size, table_start = wide
        stops_at = large_at
    if disk or table_disk or n_here != n or table_start + table_size != stops_at:
        raise Unreadable("its end contradicts itself")
    if n > MAX_ENTRIES or table_size > n * 1024:
        raise Unreadable(f"it claims {n} entries in {table_size} bytes, beyond what is read")
    return n, table_start, _bytes(file, table_start, table_size)


def _described(table: bytes, n_entries: int) -> Iterator[_Described]:
    at = 0
    alike: set[tuple[int, int, int]] = set()
    for _ in range(n_entries):
        if at + _CENTRAL.size > len(table):
            raise Unreadable("its table of entries is cut off")
        fields = _CENTRAL.unpack_from(table, at)
        mark, made_by, needed, flags, method, time, date, crc, packed, size = fields[:10]
        name_size, extra_size, comment_size, disk, inner, outer, header = fields[10:]
        name_at = at + _CENTRAL.size
        name, extra = table[name_at : name_at + name_size], table[name_at + name_size :][:extra_size]
        at = name_at + name_size + extra_size
        if mark != b"PK\x01\x02" or comment_size or disk or at > len(table):
            raise Unreadable("its table of entries is damaged")
        size, packed, header = _widened(extra, size, packed, header)
        if method or flags & 1 or packed != size:
            raise Unreadable(f"its entry {name.decode('utf-8', 'replace')} is compressed or encrypted, not stored")
        alike.add((made_by, inner, outer))
        yield _Described(name, header, size, crc, flags, (needed, flags, method, time, date))
    if at != len(table) or len(alike) > 1:
        raise Unreadable("its table of entries is damaged")


def _widened(extra: bytes, *numbers: int) -> list[int]:
    """Numbers that did not fit into 32 bits, from the field that holds them in 64."""
    wide = list(numbers)
    missing = [place for place, number in enumerate(numbers) if number == _UNSET32]
    if not missing:
        return wide
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 0x0001 and length >= 8 * len(missing) and at + 4 + length <= len(extra):
            for order, place in enumerate(missing):
                (wide[place],) = struct.unpack_from("<Q", extra, at + 4 + 8 * order)
            return wide
        at += 4 + length
    raise Unreadable("its table of entries is damaged")


def _data_start(file: BinaryIO, entry: _Described, after: int) -> int:
    """Where the bytes of an entry start, after a look at whether what stands around them agrees with the table."""
    head = _bytes(file, entry.header, _LOCAL.size)
    mark, needed, flags, method, time, date, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    names = _bytes(file, entry.header + _LOCAL.size, name_size + extra_size)
    name, extra = names[:name_size], names[name_size:]
    start = entry.header + _LOCAL.size + name_size + extra_size
    if mark != b"PK\x03\x04" or name != entry.name or (needed, flags, method, time, date) != entry.said:
        raise Unreadable("an entry is described in two ways")
    _check_extra(extra)
    behind = after - start - entry.size
    if flags & 8:
        _check_trailer(file, entry, start + entry.size, behind)
        expected: tuple[int, ...] = (0, 0, 0)
    else:
        expected = (entry.crc, entry.size, entry.size)
        if behind:
            raise Unreadable("its entries overlap, or bytes lie between them")
    found = (crc, packed, size)
    if any(ours not in (_UNSET32, theirs) for ours, theirs in zip(found, expected, strict=True)):
        raise Unreadable("an entry is described in two ways")
    return start


def _check_extra(extra: bytes) -> None:
    """Fields between the name and the bytes: only known ones, torch's padding as torch writes it."""
    at = 0
    while at < len(extra):
        kind, length = struct.unpack_from("<HH", extra.ljust(at + 4, b"\0"), at)
        field = extra[at + 4 : at + 4 + length]
        if kind not in _EXTRA or len(field) != length or (kind == _PADDING and field.strip(b"Z")):
            raise Unreadable("the padding of an entry is damaged")
        at += 4 + length


def _check_trailer(file: BinaryIO, entry: _Described, at: int, length: int) -> None:
    """Sizes and checksum may follow the bytes instead of preceding them."""
    shapes = {16: "<III", 24: "<IQQ"}
    if length not in shapes:
        raise Unreadable("its entries overlap, or bytes lie between them")
    trailer = _bytes(file, at, length)
    if trailer[:4] != b"PK\x07\x08" or struct.unpack(shapes[length], trailer[4:]) != (
        entry.crc,
        entry.size,
        entry.size,
    ):
        raise Unreadable("an entry is described in two ways")


def _bytes(file: BinaryIO, start: int, length: int) -> bytes:
    if start < 0:
        raise Unreadable("its end contradicts itself")
    file.seek(start)
    data = file.read(length)
    if len(data) != length:
        raise Unreadable("it is cut off")
    return data
