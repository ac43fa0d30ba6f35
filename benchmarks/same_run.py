"""What do two finished runs not have in common, to the last bit?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def differing(one: Path, other: Path) -> list[str]:
    """What two finished runs do not have in common: checkpoint files, their every number, metrics.csv; in words."""
    found = []
    names = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (one, other)]
    if names[0] != names[1]:
        found.append(f"files {names[0]} and {names[1]}")
    for name in ("last.ckpt", "best.ckpt"):
        contents = [torch.load(run / "checkpoints" / name, weights_only=True) for run in (one, other)]
        # Lightning's note of when a run stopped early, which nothing reads
        found += [f"{name}: {where}" for where in unequal(*contents) if not where.endswith("/stopped_epoch")]
    if (one / "metrics.csv").read_bytes() != (other / "metrics.csv").read_bytes():
        found.append("metrics.csv")
    return found


def unequal(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two contents of checkpoints differ in the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [where]
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        return [found for key in one for found in unequal(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for i, pair in pairs for found in unequal(*pair, f"{where}/{i}")]
    return [] if one == other or (one != one and other != other) else [where]
