"""How much memory is free for what a run wants to hold, on a GPU or on this host?"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import torch

_CGROUPS = Path("/sys/fs/cgroup")
_FILES = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""Of a control group, by version: what it may use, and what it does, files that could be dropped included."""


def free_bytes(device: torch.device, proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> int | None:
    """Memory of a device that nothing uses, on a host within the limits of this process's control groups, as batch
    systems set them; None where nobody tells."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    return min((*_of_machine(proc), *_of_groups(proc, cgroups)), default=None)


def _of_machine(proc: Path) -> Iterator[int]:
    told = proc / "meminfo"
    if told.exists():
        lines = (line.split() for line in told.read_text().splitlines())
        yield from (int(words[1]) << 10 for words in lines if words and words[0] == "MemAvailable:")


def _of_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each control group of this process leaves, from its own up to the root."""
    told = proc / "self" / "cgroup"
    for line in told.read_text().splitlines() if told.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, root = (1, cgroups / "memory") if controllers else (2, cgroups)
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (left := _left_of(folder, *_FILES[version])) is not None:
                yield left


def _left_of(group: Path, limit: str, used: str) -> int | None:
    if not (group / limit).exists() or not (group / used).exists():
        return None
    allowed = (group / limit).read_text().strip()
    if allowed == "max":
        return None
    stat = group / "memory.stat"
    counts = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
    droppable = int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
    return max(int(allowed) - int((group / used).read_text()) + droppable, 0)
