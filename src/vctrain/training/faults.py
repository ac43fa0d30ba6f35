"""Which failures of a training are those of the machine or of another process, and what can be done about them?"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vctrain.config.schema import Settings
from vctrain.errors import FaultError, LostProcessError, VctrainError, is_out_of_memory
from vctrain.runs.files import FULL
from vctrain.training.callbacks.watchdog import Watchdog
from vctrain.training.largest import largest_batch
from vctrain.training.prepare import Prepared

_LOST = re.compile(
    r"gloo|connection (closed|reset)|socket timeout|timed out (waiting|after)|watchdog|nccl|broken pipe|peer", re.I
)
_COMPILER = ("torch._dynamo", "torch._inductor")


def as_fault(error: BaseException, where: str, run_dir: Path | None) -> VctrainError | None:
    """The FaultError that ``error`` means, or None if it is something else.

    ``where`` is this process's place (`Watchdog.place`); without a ``run_dir`` nothing has begun.
    """
    again = "run it again" if run_dir is None else f"vctrain resume {run_dir} goes on from the last checkpoint"
    if is_out_of_memory(error):
        return FaultError(f"out of memory ({where})", hint="lower data.batch_clips or data.clip_frames")
    if type(error).__module__.startswith(_COMPILER):
        first = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        return FaultError(
            f"trainer.compile: torch could not compile this twin ({where}): {first}",
            hint="use --set trainer.compile=false, or install a C++ compiler (on a GPU, Triton) if none was found",
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


@contextmanager
def as_faults(where: Callable[[], str], run_dir: Path | None) -> Iterator[None]:
    """Raises what `as_fault` makes of an error, and any other as it is; ``where`` is asked when one comes."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        fault = as_fault(error, where(), run_dir)
        if fault is None:
            raise
        raise fault from error


@contextmanager
def faults_named(settings: Settings, prepared: Prepared, run_dir: Path, watchdog: Watchdog) -> Iterator[None]:
    """What the machine or another process did, in words and with what to do next: raises FaultError instead."""
    with as_faults(lambda: watchdog.place, run_dir):
        try:
            yield
        except torch.OutOfMemoryError as error:
            data, place = settings.data, watchdog.place
            traceback.clear_frames(error.__traceback__)
            largest = largest_batch(settings, prepared)
            beside = any(s.movie.frames is not None and s.movie.frames.is_cuda for s in prepared.sessions)
            mapped = "; or leave the movies in their files: --set data.residency=mmap" if beside else ""
            raise FaultError(
                f"out of memory ({place}): data.batch_clips {data.batch_clips} of data.clip_frames {data.clip_frames} "
                "do not fit",
                hint=(
                    "no batch fits; lower data.clip_frames"
                    if largest is None
                    else f"{largest} clips fit: --set data.batch_clips={largest}, or lower data.clip_frames"
                )
                + mapped,
            ) from error


def _is_lost(error: RuntimeError) -> bool:
    if not torch.distributed.is_available():
        return False
    # Words count only where there is somebody to lose; the rendezvous has errors of its own.
    named = torch.distributed.is_initialized() and bool(_LOST.search(str(error)))
    return named or isinstance(error, torch.distributed.DistError)
