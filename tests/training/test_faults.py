"""Which failures are the machine's or another process's, and which are ours?"""

from __future__ import annotations

import errno

import pytest
import torch

from vctrain.errors import FaultError, LostProcessError
from vctrain.training.faults import as_fault

PLACE = "rank 0 of 2, step 7: waiting for the gradients of all processes"
GLOO = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:525] Read error: Connection reset by peer")


@pytest.fixture
def among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)


@pytest.mark.usefixtures("among_others")
def test_a_lost_process_is_told_with_place_and_step() -> None:
    fault = as_fault(GLOO, PLACE, "runs/mine")
    assert isinstance(fault, LostProcessError)
    assert fault.code == 5
    assert PLACE in fault.message
    assert "vctrain resume runs/mine" in fault.hint


def test_a_process_that_is_alone_has_none_to_lose() -> None:
    assert as_fault(GLOO, PLACE, "runs/mine") is None


def test_a_rendezvous_that_fails_is_a_lost_process_too() -> None:
    assert isinstance(as_fault(torch.distributed.DistStoreError("no answer"), PLACE, "runs/mine"), LostProcessError)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_no_memory(error: BaseException) -> None:
    fault = as_fault(error, PLACE, "runs/mine")
    assert type(fault) is FaultError
    assert "out of memory" in fault.message
    assert "data.batch_clips" in fault.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_file(number: int) -> None:
    fault = as_fault(OSError(number, "full", "runs/mine/metrics.csv"), PLACE, "runs/mine")
    assert type(fault) is FaultError
    assert "runs/mine/metrics.csv" in fault.message


@pytest.mark.usefixtures("among_others")
@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes differ"), OSError(errno.ENOENT, "x")])
def test_what_is_ours_stays_a_bug(error: BaseException) -> None:
    assert as_fault(error, PLACE, "runs/mine") is None
