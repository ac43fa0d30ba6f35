"""Do the movies of a run move into the memory of the device, or of this process, before its first step?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from vctrain import console
from vctrain.config.schema import DataConfig
from vctrain.data.session import Session
from vctrain.errors import FaultError
from vctrain.runs.supervisor import JOB
from vctrain.training.room import free_bytes

SHARE = 0.25
"""Of a GPU's free memory that movies may take where nobody asked for it: a step needs the rest."""


def check_room(data: DataConfig, sessions: Sequence[Session], device: torch.device, processes: int) -> None:
    """Raise FaultError where the movies do not fit that were asked for: on a host, into each of its ``processes``.

    Asked by the command that starts them, before any of them holds its own.
    """
    if data.residency not in ("host", "device") or JOB in os.environ:
        return
    where = _place(data, device)
    needed = _bytes(sessions) * (processes if where.type == "cpu" else 1)
    free = free_bytes(where)
    if free is not None and needed > free:
        raise FaultError(
            f"data.residency {data.residency}: the movies take {_gib(needed)}, and {_gib(free)} are free",
            hint="use --set data.residency=mmap, or fewer sessions",
        )


def hold_movies(data: DataConfig, sessions: Sequence[Session], device: torch.device) -> dict[str, Any] | None:
    """Have ``sessions`` hold their movies where ``data.residency`` says, unless they do; what is where, None if they
    stay in their files.

    Raises FaultError where the memory of a GPU is used up by then.
    """
    waiting = [session for session in sessions if session.movie.frames is None]
    if waiting and not _wanted(data, _bytes(waiting), device):
        return None
    where = _place(data, device)
    for session in waiting:
        try:
            session.movie = session.movie.held(where)
        except torch.OutOfMemoryError as error:
            raise FaultError(
                f"out of memory: session {session.name}: its movie of {_gib(session.movie.n_bytes)} finds no room",
                hint="use --set data.residency=mmap, or fewer sessions",
            ) from error
    size = _bytes(sessions)
    if waiting:
        name = "the memory of the GPU" if where.type == "cuda" else "memory"
        console.note(f"movies of {len(sessions)} session(s), {_gib(size)}, are held in {name}")
    return {"where": where.type, "bytes": size, "frames": sum(session.movie.shape[0] for session in sessions)}


def _place(data: DataConfig, device: torch.device) -> torch.device:
    return torch.device("cpu") if data.residency == "host" else device


def _wanted(data: DataConfig, needed: int, device: torch.device) -> bool:
    """Whether movies of so many bytes are to leave their files."""
    if data.residency != "auto":
        return data.residency != "mmap"
    free = None if device.type == "cpu" else free_bytes(device)
    return free is not None and needed <= SHARE * free


def _bytes(sessions: Sequence[Session]) -> int:
    return sum(session.movie.n_bytes for session in sessions)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 // 10 else f"{n_bytes / 2**20:.1f} MiB"
