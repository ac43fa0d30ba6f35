"""Keeping freed memory for the next step: on CPU, fresh pages cost more than the arithmetic between them."""

from __future__ import annotations

import ctypes
import ctypes.util

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEEP_BYTES = 2**31 - 1
GROW_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from its heap and not to return them; False where there is no such allocator.

    By default each block above 32 MB is mapped and unmapped anew, and the kernel zeroes its pages at first touch.
    Training steps allocate the same blocks over and over: keeping them made a step of the checkerboard preset 2 to 35 %
    faster on two cores, depending on the kernel (``benchmarks/allocator.py`` measures the ratio).
    """
    name = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None:
        return False
    wanted = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEEP_BYTES), (M_TOP_PAD, GROW_BYTES))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)
