"""Rows come out the same, whoever copies them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vctrain.data import copying
from vctrain.data.copying import take_rows

STORED = np.random.default_rng(0).integers(0, 256, (3000, 60, 60), dtype=np.uint8)


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n", "length"), [(0, 5), (1, 3000), (3, 900), (256, 25), (2, 3)])
def test_each_row_is_copied_once(n: int, length: int) -> None:
    rows = np.random.default_rng(1).integers(0, len(STORED), (n, length))
    out = np.zeros((n, length, 60, 60), np.uint8)
    take_rows(STORED, rows, out)
    np.testing.assert_array_equal(out, STORED[rows])


def test_many_may_copy_at_once() -> None:
    def copied(seed: int) -> bool:
        rows = np.random.default_rng(seed).integers(0, len(STORED), (100, 25))
        out = np.zeros((100, 25, 60, 60), np.uint8)
        take_rows(STORED, rows, out)
        return bool((out == STORED[rows]).all())

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(copied, range(18)))


def test_nobody_waits_for_helpers_that_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as busy:
        busy.submit(release.wait, 60)
        monkeypatch.setattr(copying, "_threads", lambda: busy)
        rows = np.arange(2500).reshape(100, 25)
        out = np.zeros((100, 25, 60, 60), np.uint8)
        take_rows(STORED, rows, out)
        assert not release.is_set()
        release.set()
    np.testing.assert_array_equal(out, STORED[rows])


def test_helpers_are_asked_only_for_much_and_as_far_as_torch_may_use_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError

    monkeypatch.setattr(copying, "_threads", refuse)
    take_rows(STORED, np.arange(500).reshape(20, 25), np.zeros((20, 25, 60, 60), np.uint8))
    rows, out = np.arange(2500).reshape(100, 25), np.zeros((100, 25, 60, 60), np.uint8)
    with pytest.raises(AssertionError):
        take_rows(STORED, rows, out)
    torch.set_num_threads(1)
    take_rows(STORED, rows, out)
