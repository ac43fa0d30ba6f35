"""What did a run cost: hours of its devices, frames, energy? From its events alone. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vctrain.runs.events import that_hold
from vctrain.runs.spans import seconds_spent


def cost_of(events: Sequence[Mapping[str, Any]], devices: int, until: float | None = None) -> dict[str, Any]:
    """``seconds`` over all starts of the run, ``device_hours``, scored training ``frames`` of the steps that hold,
    ``frames_per_second``, and ``energy_wh`` of the GPUs where NVML told it; None where nothing is known.

    ``until`` (seconds since the epoch) is when a start without an end ends, as in `seconds_spent`.
    """
    seconds = seconds_spent(events, until)
    frames = sum(int(event.get("train_frames") or 0) for event in that_hold(events) if event["event"] == "validated")
    # energy was spent also on steps that were taken again
    energies = [float(event["energy_wh"]) for event in events if event.get("energy_wh") is not None]
    return {
        "seconds": seconds,
        "device_hours": None if seconds is None else seconds * devices / 3600,
        "frames": frames,
        "frames_per_second": frames / seconds if seconds else None,
        "energy_wh": sum(energies) if energies else None,
    }
