"""On what does a run compute, and how much energy does that take?"""

from __future__ import annotations

import importlib.util
import os
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


class EnergyMeter:
    """What the GPUs of this node use, as NVML tells it; nothing for a CPU, GPUs before Volta, or without pynvml."""

    def __init__(self, accelerator: str, devices: int) -> None:
        self._meters = _meters(devices) if accelerator == "gpu" else []
        self._before = self._read()

    def take(self) -> float | None:
        """Watt-hours since the last time; None where nobody tells."""
        now, before = self._read(), self._before
        self._before = now
        return None if now is None or before is None else (now - before) / WATT_HOUR

    def _read(self) -> float | None:
        """Millijoules since the driver was loaded."""
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
