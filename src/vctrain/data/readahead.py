"""Which parts of mapped arrays are about to be read? Told in time, the kernel fetches them together.

Without that a fault at a page that is not in memory reads around it: in many pieces one after another where much is
wanted, and mostly what nobody wants where little is. Nothing here happens on systems without madvise.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from typing import Any

from numpy.typing import NDArray

from vctrain.data.intervals import Ints

_PIECE_BYTES = 1 << 19
"""What is announced at once: the kernel shortens what exceeds the largest transfer of the disk."""


def will_need(array: NDArray[Any]) -> None:
    """Has the file pages of a contiguous `array` read in the background; returns at once."""
    if array.size and array.flags.c_contiguous:
        _announce(array.ctypes.data, array.nbytes)


def rows_will_be_needed(array: NDArray[Any], rows: Ints, factor: int = 1) -> None:
    """Has runs of rows of a contiguous `array` read in the background: `rows` (n, T), first to last, times `factor`.

    Asking costs more than copying a little that is there already: nothing is asked for if three runs seem to be there,
    and nothing is looked at as long as nobody had to wait for a page since they last did.
    """
    if _LIBC is None or not rows.size or not array.flags.c_contiguous:
        return
    waits = _waits()
    if _all_there.get(id(array)) == waits:
        return
    base, size = array.ctypes.data, array.strides[0] * factor
    if all(_in_memory(base + int(rows[place, 0]) * size) for place in {0, len(rows) // 2, len(rows) - 1}):
        _all_there[id(array)] = waits
        return
    _all_there.pop(id(array), None)
    for first, last in rows[:, [0, -1]].tolist():
        _announce(base + first * size, (last + 1 - first) * size)


_all_there: dict[int, int] = {}
"""By array: how often this process had waited for a page when its rows last seemed to be there. Of another array that
is given the same identity later, the worst is that its first rows are not announced."""


def _waits() -> int:
    """How often this process has waited for a page of a file that nobody had announced."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def _announce(first: int, size: int) -> None:
    if _LIBC is not None:
        start, stop = first - first % mmap.PAGESIZE, first + size
        for piece in range(start, stop, _PIECE_BYTES):
            _LIBC.madvise(piece, min(_PIECE_BYTES, stop - piece), mmap.MADV_WILLNEED)


def _in_memory(address: int) -> bool:
    """Whether a page of a file is; yes, too, for a file of others, of which the kernel does not say."""
    assert _LIBC is not None
    found = ctypes.c_ubyte()
    failed = _LIBC.mincore(address - address % mmap.PAGESIZE, 1, ctypes.byref(found))
    return not failed and bool(found.value & 1)


def _libc() -> ctypes.CDLL | None:
    if os.name != "posix" or not hasattr(mmap, "MADV_WILLNEED"):
        return None
    library = ctypes.CDLL(None)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    library.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return library


_LIBC = _libc()
