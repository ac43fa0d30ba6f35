"""Announced parts of a mapped file come into memory, and nothing else does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from vctrain.data import readahead
from vctrain.data.readahead import rows_will_be_needed, will_need

ROW = 1 << 16


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new array may begin where an old one did."""
    monkeypatch.setattr(readahead, "_all_there", {})


@pytest.fixture
def stored(tmp_path: Path) -> np.ndarray:
    """A mapped array of 256 rows that only the disk holds."""
    path = tmp_path / "rows"
    np.random.default_rng(0).integers(0, 256, (256, ROW), dtype=np.uint8).tofile(path)
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    if not hasattr(os, "posix_fadvise") or readahead._LIBC is None:
        pytest.skip("needs posix_fadvise and madvise")
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    mapped = np.memmap(path, np.uint8, "r", shape=(256, ROW))
    if in_memory(mapped[0]):
        pytest.skip("this file system keeps its files in memory")
    return np.asarray(mapped)


def in_memory(row: np.ndarray) -> bool:
    return readahead._in_memory(row.ctypes.data + ROW // 2)


def wait_for(rows: list[np.ndarray]) -> None:
    deadline = time.monotonic() + 20
    while not all(in_memory(row) for row in rows):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_long_stretch_comes_in_whole(stored: np.ndarray) -> None:
    will_need(stored[16:80])
    wait_for(list(stored[16:80]))
    assert not any(in_memory(row) for row in stored[100:])


@pytest.mark.parametrize("factor", [1, 2])
def test_runs_of_rows_come_in_alone(stored: np.ndarray, factor: int) -> None:
    runs = np.array([[100, 101, 102], [10, 11, 12]])
    rows_will_be_needed(stored, runs, factor)
    wanted = sorted({int(row) for run in runs for row in range(run[0] * factor, (run[-1] + 1) * factor)})
    wait_for([stored[row] for row in wanted])
    assert sum(in_memory(row) for row in stored) <= len(wanted) + 2


def test_nothing_is_looked_at_until_somebody_had_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    asked: list[int] = []
    there, waits = [True], [5]

    def look(address: int) -> bool:
        looked.append(address)
        return there[0]

    monkeypatch.setattr(readahead, "_in_memory", look)
    monkeypatch.setattr(readahead, "_waits", lambda: waits[0])
    monkeypatch.setattr(readahead, "_announce", lambda first, size: asked.append(size))
    one, other, rows = np.ones((8, ROW), np.uint8), np.ones((8, ROW), np.uint8), np.array([[1, 2]])
    for array, times in ((one, 1), (one, 1), (other, 2), (one, 2), (other, 2)):
        rows_will_be_needed(array, rows)
        assert len(looked) == times
    # after a wait, what is there no longer is asked for, and looked at until it is there again
    waits[0], there[0] = 6, False
    for times in (3, 4):
        rows_will_be_needed(one, rows)
        assert (len(looked), len(asked)) == (times, times - 2)
    there[0] = True
    for times in (5, 5):
        rows_will_be_needed(one, rows)
        assert (len(looked), len(asked)) == (times, 2)


def test_a_wait_for_a_page_is_noticed(stored: np.ndarray) -> None:
    before = readahead._waits()
    assert int(stored[50].sum()) > 0
    assert readahead._waits() > before


def test_nothing_is_asked_for_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(readahead, "_announce", lambda first, size: asked.append(size))
    rows_will_be_needed(np.ones((64, ROW), np.uint8), np.arange(64)[:, None])
    assert not asked
    rows_will_be_needed(np.ones((64, ROW), np.uint8)[::2], np.arange(8)[:, None])
    will_need(np.ones((64, ROW), np.uint8)[:, ::2])
    will_need(np.ones((0, ROW), np.uint8))
    assert not asked
