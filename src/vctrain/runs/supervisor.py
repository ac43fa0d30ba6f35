"""Starting one process a device on this machine, and turning their ends into one result or one error.

Lightning's own launcher kills rank 0 when another rank exits non-zero, and torchrun turns every exit code into 1.
Here each rank is a fresh Python process with torchrun's variables; a failing rank's error comes back whole through a
file.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from vctrain.errors import BY_CODE, FaultError, Terminated, VctrainError

JOB = "VCTRAIN_RANK_JOB"
"""Environment variable that tells a rank where its job, result and error files are."""

INTERRUPTED, TERMINATED = 130, 143
GRACE_SECONDS = 20.0
"""How long the other ranks may take to end after one failed, before they are killed."""


def launched_externally() -> bool:
    """Whether torchrun, srun or this supervisor already started this process as one of several ranks."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return True
    return "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rank_environment(rank: int, processes: int, port: int, job: Path) -> dict[str, str]:
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    return {
        "OMP_NUM_THREADS": threads,
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": f"vctrain-{port}",
        JOB: str(job),
    }


def run_ranks(target: str, arguments: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Call ``target`` (``"module:function"``) with JSON ``arguments`` on ``processes`` ranks; returns what rank 0
    returned.

    A `VctrainError` on any rank is raised here; a rank that ends in another way is a `FaultError` naming it. SIGINT
    and SIGTERM are passed on to all ranks.
    """
    with tempfile.TemporaryDirectory(prefix="vctrain-ranks-") as folder:
        job = Path(folder)
        (job / "job.json").write_text(json.dumps({"target": target, "arguments": dict(arguments)}))
        port = _free_port()
        ranks = [
            subprocess.Popen(
                [sys.executable, "-m", "vctrain.runs.supervisor"], env=_rank_environment(rank, processes, port, job)
            )
            for rank in range(processes)
        ]

        told: list[int] = []

        def forward(number: int, frame: FrameType | None) -> None:
            told.append(number)
            for process in ranks:
                if process.poll() is None:
                    process.send_signal(number)

        previous = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            first_to_fail = _wait(ranks)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if signal.SIGTERM in told:
            # This process was told too, and may have its own way to end.
            handler = previous[signal.SIGTERM]
            if callable(handler):
                handler(signal.SIGTERM, None)
            raise Terminated
        return _collect(job, ranks, first_to_fail)


def _wait(ranks: list[subprocess.Popen[bytes]]) -> int | None:
    """Wait for all; once one failed, the others get `GRACE_SECONDS`.

    Returns the rank that failed first.
    """
    deadline: float | None = None
    first: int | None = None
    while any(process.poll() is None for process in ranks):
        failed = [rank for rank, process in enumerate(ranks) if process.poll() not in (None, 0)]
        first = failed[0] if first is None and failed else first
        if deadline is None and failed:
            deadline = time.monotonic() + GRACE_SECONDS
            for process in ranks:
                if process.poll() is None:
                    process.terminate()
        elif deadline is not None and time.monotonic() > deadline:
            for process in ranks:
                process.kill()
        time.sleep(0.05)
    failed = [rank for rank, process in enumerate(ranks) if process.returncode != 0]
    return first if first is not None else next(iter(failed), None)


def _collect(job: Path, ranks: list[subprocess.Popen[bytes]], first_to_fail: int | None) -> dict[str, Any]:
    for rank in range(len(ranks)):
        failure = job / f"error-{rank}.json"
        if failure.exists():
            error = json.loads(failure.read_text())
            raise BY_CODE.get(error["code"], VctrainError)(error["message"], hint=error["hint"])
    if first_to_fail is not None:
        code = ranks[first_to_fail].returncode
        if any(process.returncode in (-signal.SIGINT, INTERRUPTED) for process in ranks):
            raise KeyboardInterrupt
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise FaultError(
            f"rank {first_to_fail} of {len(ranks)} ended with {how}",
            hint="see its last lines above; signal 9 is often the machine running out of memory",
        )
    result: dict[str, Any] = json.loads((job / "result.json").read_text())
    return result


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # At once: what would be tidied up waits for the other ranks, which are ending too.
    os._exit(TERMINATED)


def rank_main() -> int:
    """What each started process runs: the job's function, its result or its error written beside the job."""
    job = Path(os.environ[JOB])
    rank = int(os.environ["RANK"])
    signal.signal(signal.SIGTERM, _terminated)
    described = json.loads((job / "job.json").read_text())
    module, function = described["target"].split(":")
    try:
        result = getattr(importlib.import_module(module), function)(**described["arguments"])
    except VctrainError as error:
        (job / f"error-{rank}.json").write_text(json.dumps(error.as_dict()))
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    if rank == 0:
        (job / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(rank_main())
