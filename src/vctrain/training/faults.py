"""Which failures of a training are those of the machine or of another process, and what can be done about them?"""

from __future__ import annotations

import re

import torch

from vctrain.errors import FaultError, LostProcessError, VctrainError, is_out_of_memory
from vctrain.runs.files import FULL

_LOST = re.compile(
    r"gloo|connection (closed|reset)|socket timeout|timed out (waiting|after)|watchdog|nccl|broken pipe|peer", re.I
)
_COMPILER = ("torch._dynamo", "torch._inductor")


def as_fault(error: BaseException, where: str, run_dir: object) -> VctrainError | None:
    """The FaultError that ``error`` means, or None if it is something else.

    ``where`` is this process's place (`Watchdog.place`).
    """
    again = f"vctrain resume {run_dir} goes on from the last checkpoint"
    if is_out_of_memory(error):
        return FaultError(f"out of memory ({where})", hint="lower data.batch_clips or data.clip_frames")
    if type(error).__module__.startswith(_COMPILER):
        last = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        return FaultError(
            f"trainer.compile: torch could not compile this twin ({where}): {last}",
            hint="leave it out, or install a C++ compiler (on a GPU, Triton) if none was found",
        )
    if isinstance(error, RuntimeError) and _is_lost(error):
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        return LostProcessError(
            f"another process is gone or did not answer ({where}): {first}", hint=f"see what it said; {again}"
        )
    if isinstance(error, OSError) and error.errno in FULL:
        named = f"{error.filename}: " if error.filename else ""
        return FaultError(f"{named}{error.strerror}", hint=f"make room, then {again}")
    return None


def _is_lost(error: RuntimeError) -> bool:
    if not torch.distributed.is_available():
        return False
    # Words count only where there is somebody to lose; the rendezvous has errors of its own.
    named = torch.distributed.is_initialized() and bool(_LOST.search(str(error)))
    return named or isinstance(error, torch.distributed.DistError)
