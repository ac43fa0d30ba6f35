"""Do the movies of a run move into the memory of the device, or of this process, before its first step?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vctrain import console
from vctrain.config.schema import DataConfig, Settings
from vctrain.data.session import Session
from vctrain.errors import FaultError
from vctrain.training.engine import device_of
from vctrain.training.prepare import Prepared

SHARE = 0.25
"""Of a GPU's free memory that movies may take where nobody asked for it: a step needs the rest."""


def settle(settings: Settings, prepared: Prepared) -> dict[str, int | str] | None:
    """Have the sessions hold their movies where ``data.residency`` says; what moved where, None if nothing did.

    Raises FaultError where what was asked for does not fit.
    """
    sessions = prepared.sessions
    if not prepared.twin.reads_stimulus or prepared.features is not None:
        return None
    needed = sum(session.movie.n_bytes for session in sessions)
    device = device_of(prepared.accelerator)
    where = _chosen(settings.data, needed, device, settings.trainer.devices)
    if where is None:
        return None
    for session in sessions:
        if session.movie.frames is None:
            session.movie = session.movie.held(where)
    name = "the memory of the GPU" if where.type == "cuda" else "memory"
    console.note(f"movies of {len(sessions)} session(s), {_gib(needed)}, are held in {name}")
    return {"where": where.type, "bytes": needed, "frames": _frames(sessions)}


def _chosen(data: DataConfig, needed: int, device: torch.device, processes: int) -> torch.device | None:
    """Where movies go; None: they stay in their files. On a host each of its ``processes`` holds them."""
    if data.residency == "mmap" or (data.residency == "auto" and device.type == "cpu"):
        return None
    where = torch.device("cpu") if data.residency == "host" else device
    free = free_bytes(where)
    if data.residency == "auto":
        return where if free is not None and needed <= SHARE * free else None
    needed *= processes if where.type == "cpu" else 1
    if free is not None and needed > free:
        raise FaultError(
            f"data.residency {data.residency}: the movies take {_gib(needed)}, and {_gib(free)} are free",
            hint="use --set data.residency=mmap, or fewer sessions",
        )
    return where


def free_bytes(device: torch.device) -> int | None:
    """Memory of a device that nothing uses; None where nobody tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as told:
            found = {line.split(":")[0]: int(line.split()[1]) << 10 for line in told}
    except OSError:
        return None
    return found.get("MemAvailable")


def _frames(sessions: Sequence[Session]) -> int:
    return sum(session.movie.shape[0] for session in sessions)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 // 10 else f"{n_bytes / 2**20:.1f} MiB"
