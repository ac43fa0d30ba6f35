"""How are many rows of a mapped array copied? By several cores, where one does not keep the memory busy."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.data.intervals import Ints

_WORTH_BYTES = 1 << 23
"""Less is copied before others have woken."""
_PIECE_BYTES = 1 << 20
_MOST_HELPERS = 3


def take_rows(stored: NDArray[Any], rows: Ints, out: NDArray[Any]) -> None:
    """``np.take(stored, rows, axis=0, out=out)`` of valid `rows` (n, T).

    Large copies are shared with up to three more threads, as far as torch may use as many. Each takes the next piece
    when it is done with one, so that nobody waits for a thread that other programs keep from running.
    """
    helpers = min(torch.get_num_threads() - 1, _MOST_HELPERS)
    if out.nbytes < _WORTH_BYTES or helpers < 1:
        stored.take(rows, axis=0, out=out, mode="clip")
        return
    edges = np.linspace(0, len(rows), min(len(rows), out.nbytes // _PIECE_BYTES) + 1).astype(np.int64).tolist()
    pieces = iter(list(itertools.pairwise(edges)))

    def work() -> None:
        # next() on an iterator over a list is one operation of the interpreter: no piece is taken twice
        for first, stop in pieces:
            np.take(stored, rows[first:stop], axis=0, out=out[first:stop], mode="clip")

    shared = [_threads().submit(work) for _ in range(helpers)]
    work()
    for helper in shared:
        if not helper.cancel():
            helper.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_HELPERS, thread_name_prefix="copying")
