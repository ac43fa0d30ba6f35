"""What asks a run to stop: signals, and the end of the time it was given.

A signal only sets a flag here. The run reads it between two steps, where all processes agree, save and end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vctrain import console, ending
from vctrain.errors import UsageError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""All of them mean: save, and end with 75."""
STOP_AT = "VCTRAIN_STOP_AT"
"""Environment variable with the Unix time at which the run is to save and end; processes that this one starts inherit
it."""
SLURM_END = "SLURM_JOB_END_TIME"
_MARGIN_FRACTION, _LEAST_MARGIN, _LARGEST_MARGIN = 0.02, 20.0, 180.0


class StopRequest:
    """Why this process should stop, if it should.

    >>> request = StopRequest(stop_at=100.0, clock=lambda: 99.0)
    >>> request.reason
    >>> request.ask("SIGTERM")
    >>> request.reason
    'SIGTERM'
    """

    def __init__(self, stop_at: float | None = None, clock: Callable[[], float] = time.time) -> None:
        self.stop_at, self._clock = stop_at, clock
        self._asked: str | None = None

    def ask(self, why: str) -> None:
        """Keep the first reason."""
        self._asked = self._asked or why

    @property
    def reason(self) -> str | None:
        """Why to stop now: a signal's name or the time limit; None to go on."""
        if self._asked is None and self.stop_at is not None and self._clock() >= self.stop_at:
            self._asked = "the time limit"
        return self._asked

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, `SIGNALS` ask instead of interrupting; must be entered by the main thread.

        Raises KeyboardInterrupt where one has come before and what it raised was lost.
        """

        def note(number: int, frame: FrameType | None) -> None:
            self.ask(signal.Signals(number).name)

        before = {number: signal.signal(number, note) for number in SIGNALS}
        try:
            ending.check_not_told()
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def seconds_of(text: str) -> float:
    """Seconds of ``H:MM:SS``, ``MM:SS``, ``D-HH:MM:SS``, ``3h55m`` or a number of minutes, as SLURM writes times.

    Raises UsageError for anything else.

    >>> seconds_of("3:55:00"), seconds_of("90"), seconds_of("1-00:00:00"), seconds_of("1h30m")
    (14100.0, 5400.0, 86400.0, 5400.0)
    """
    written = text.strip()
    worded = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", written)
    clock = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", written)
    if clock:
        days, hours, minutes, seconds = (int(group or 0) for group in clock.groups())
    elif written and worded:
        days, hours, minutes, seconds = (int(group or 0) for group in worded.groups())
    elif re.fullmatch(r"\d+(\.\d+)?", written):
        days, hours, minutes, seconds = 0, 0, 0, 0
        return _positive(float(written) * 60.0, text)
    else:
        raise UsageError(f"--time-limit {text}: not a time", hint="such as 3:55:00, 3h55m, or minutes")
    return _positive(float(((days * 24 + hours) * 60 + minutes) * 60 + seconds), text)


def _positive(seconds: float, text: str) -> float:
    if seconds <= 0:
        raise UsageError(f"--time-limit {text}: no time at all", hint="such as 3:55:00")
    return seconds


def margin(seconds: float) -> float:
    """What is kept of ``seconds`` for saving: 2 %, at least 20 s (but not more than half), at most 3 minutes.

    >>> margin(3600.0), margin(100_000.0), margin(10.0)
    (72.0, 180.0, 5.0)
    """
    return min(max(_MARGIN_FRACTION * seconds, _LEAST_MARGIN), _LARGEST_MARGIN, seconds / 2)


def limit_time(time_limit: str | None) -> None:
    """Keep in the environment when to stop: from ``--time-limit``, and the end of the SLURM job, whichever is sooner.

    Called when the command starts, so that what comes before training counts too. UsageError if it is no time.
    """
    ends = []
    if time_limit is not None:
        seconds = seconds_of(time_limit)
        ends.append(time.time() + seconds - margin(seconds))
    if (left := _left_of_slurm_job()) is not None:
        ends.append(time.time() + left - margin(left))
    os.environ.pop(STOP_AT, None)
    if ends:
        os.environ[STOP_AT] = repr(min(ends))


def _left_of_slurm_job() -> float | None:
    """Seconds until SLURM ends the job of this process; None outside of jobs, without a limit, and off rank 0."""
    job_end, job = os.environ.get(SLURM_END, ""), os.environ.get("SLURM_JOB_ID")
    if job_end.isdigit():
        return max(float(job_end) - time.time(), 1.0)
    # One process asks; all hear of it.
    if job is None or int(os.environ.get("SLURM_PROCID", "0")) > 0 or shutil.which("squeue") is None:
        return None
    asking = ["squeue", "--noheader", "--job", job, "--format=%L"]
    try:
        asked = subprocess.run(asking, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        console.warn("squeue does not answer: the end of the SLURM job is not known; give --time-limit")
        return None
    left = asked.stdout.strip()
    if asked.returncode or not re.fullmatch(r"[\d:-]+", left):
        # UNLIMITED, or a job that squeue does not know any more
        return None
    return seconds_of(left) if left.strip("0:-") else 1.0


def stop_time() -> float | None:
    """The Unix time at which to save and end, as `limit_time` kept it."""
    kept = os.environ.get(STOP_AT)
    return None if kept is None else float(kept)
