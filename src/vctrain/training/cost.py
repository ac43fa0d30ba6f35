"""What does a run cost: hours of which devices, frames, energy?"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Mapping
from typing import Any

import torch

WATT_HOUR = 3.6e6
"""Millijoules."""


def hardware(accelerator: str, devices: int, nodes: int) -> dict[str, Any]:
    """On what a run computes, in words and numbers; of this node."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"accelerator": accelerator, "devices": devices, "nodes": nodes, "cores": cores}
    if accelerator == "gpu":
        found["gpus"] = [torch.cuda.get_device_name(n) for n in range(min(devices, torch.cuda.device_count()))]
    return found


class Cost:
    """Adds up over all parts of a run: `seconds` by the clock, `device_hours` (GPUs, else processes), scored training
    `frames`, and `energy_wh` of this node's GPUs where NVML tells it, else None.

    ``before`` is what run.json said when this part began.
    """

    def __init__(self, accelerator: str, devices: int, nodes: int, before: Mapping[str, Any] | None) -> None:
        self._devices, self._nodes = devices, nodes
        self._before = dict(before or {})
        self._meters = _meters(devices) if accelerator == "gpu" else []
        self._begun, self._energy = time.monotonic(), self._read()
        self._frames = 0.0

    def add_frames(self, frames: float) -> None:
        """Training frames that were scored meanwhile."""
        self._frames += frames

    def now(self) -> dict[str, Any]:
        """The cost up to now."""
        seconds = time.monotonic() - self._begun
        frames = self._before.get("frames", 0) + round(self._frames)
        whole = self._before.get("seconds", 0.0) + seconds
        energy = None if self._energy is None else (self._read() or 0.0) - self._energy
        past = self._before.get("energy_wh")
        return {
            "seconds": round(whole, 1),
            "device_hours": self._before.get("device_hours", 0.0) + seconds * self._devices * self._nodes / 3600,
            "frames": frames,
            "frames_per_second": round(frames / whole, 1) if whole > 0 else None,
            "energy_wh": past if energy is None else (past or 0.0) + energy / WATT_HOUR,
        }

    def _read(self) -> float | None:
        """Millijoules that the GPUs have used since their driver was loaded."""
        if not self._meters:
            return None
        import pynvml

        try:
            return float(sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(meter) for meter in self._meters))
        except pynvml.NVMLError:  # a GPU before Volta
            return None


def _meters(devices: int) -> list[Any]:
    if importlib.util.find_spec("pynvml") is None:
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
        uuids = [str(torch.cuda.get_device_properties(n).uuid) for n in range(devices)]
        return [pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode()) for uuid in uuids]
    except pynvml.NVMLError:
        return []
