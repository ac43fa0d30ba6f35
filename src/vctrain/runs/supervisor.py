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
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from vctrain import ending
from vctrain.errors import BY_CODE, FaultError, LostProcessError, PreemptedError, Terminated, VctrainError
from vctrain.runs.stopping import SIGNALS

JOB = "VCTRAIN_RANK_JOB"
"""Environment variable that tells a rank where its job, result and error files are."""

INTERRUPTED, TERMINATED = 130, 143
GRACE_SECONDS = 15.0
"""How long the other ranks may take to end after one failed, before they are killed."""


def launched_externally() -> bool:
    """Whether torchrun, srun or this supervisor already started this process as one of several ranks."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return True
    return "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1


def is_supervised() -> bool:
    """Whether this process is a rank that `run_ranks` started."""
    return JOB in os.environ


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

    A `VctrainError` on any rank is raised here; a rank that ends in another way is a `FaultError` naming it. The
    signals that ask a run to stop are passed on to all ranks.
    """
    with tempfile.TemporaryDirectory(prefix="vctrain-ranks-") as folder:
        job = Path(folder)
        (job / "job.json").write_text(json.dumps({"target": target, "arguments": dict(arguments)}))
        port = _free_port()
        told: list[int] = []
        ranks: list[subprocess.Popen[bytes]] = []

        def forward(number: int, frame: FrameType | None) -> None:
            told.append(number)
            for process in ranks:
                if process.poll() is None:
                    process.send_signal(number)

        previous = {number: signal.signal(number, forward) for number in SIGNALS}
        try:
            ending.check_not_told()
            for rank in range(processes):
                # In a session of their own, or Ctrl-C on a terminal would reach them twice.
                process = subprocess.Popen(
                    [sys.executable, "-m", "vctrain.runs.supervisor"],
                    env=_rank_environment(rank, processes, port, job),
                    start_new_session=True,
                    # Never written to: it closes when this process ends, however that happens.
                    stdin=subprocess.PIPE,
                )
                ranks.append(process)
                if told:
                    process.send_signal(told[0])
            first_to_fail = _wait(ranks)
        finally:
            for process in ranks:
                if process.poll() is None:
                    process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return _collect(job, ranks, first_to_fail, told)


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


def _collect(
    job: Path, ranks: list[subprocess.Popen[bytes]], first_to_fail: int | None, told: Sequence[int]
) -> dict[str, Any]:
    """The result, or what ended the ranks: what was saved first, then what went wrong, then who asked them to end, then
    who disappeared, and at last that others did."""
    errors = [_error_of(job / f"error-{rank}.json") for rank in range(len(ranks))]
    known = [error for error in errors if error is not None]
    for error in known:
        if isinstance(error, PreemptedError):
            raise error
    for error in known:
        if not isinstance(error, LostProcessError):
            raise error
    if first_to_fail is None:
        result: dict[str, Any] = json.loads((job / "result.json").read_text())
        return result
    if told:
        raise KeyboardInterrupt if told[0] == signal.SIGINT else Terminated
    if any(process.returncode in (-signal.SIGINT, INTERRUPTED) for process in ranks):
        raise KeyboardInterrupt
    if (first := errors[first_to_fail]) is not None:
        raise first
    code = ranks[first_to_fail].returncode
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    raise FaultError(
        f"rank {first_to_fail} of {len(ranks)} ended with {how}",
        hint="see its last lines above; signal 9 is often the machine running out of memory",
    )


def _error_of(path: Path) -> VctrainError | None:
    if not path.exists():
        return None
    said = json.loads(path.read_text())
    kind = LostProcessError if said["lost"] else BY_CODE.get(said["code"], VctrainError)
    return kind(said["message"], hint=said["hint"], run=said["run"])


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    # At once: what would be tidied up waits for the other ranks, which are ending too.
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _end_with_parent() -> None:
    """A rank without the process that started it would go on for nobody, in a directory that others may take over."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(FaultError.code)


def rank_main() -> int:
    """What each started process runs: the job's function, its result or its error written beside the job."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    job = Path(os.environ[JOB])
    rank = int(os.environ["RANK"])
    for number in SIGNALS:
        signal.signal(number, _terminated)
    described = json.loads((job / "job.json").read_text())
    module, function = described["target"].split(":")
    try:
        result = getattr(importlib.import_module(module), function)(**described["arguments"])
    except VctrainError as error:
        said = {**error.as_dict(), "run": error.run, "lost": isinstance(error, LostProcessError)}
        (job / f"error-{rank}.json").write_text(json.dumps(said))
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    if rank == 0:
        (job / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(rank_main())
