"""Training on a GPU: scored frames a second, use of the GPU, kernels, waits, memory; and against single windows.

python -m benchmarks.gpu [--sessions 20] [--clips 40] [--width 1] [--residency device] [--compile] [--peak-tflops 989]

The network is the published one (`benchmarks.published`, 49-frame windows, 51 pixels) in bfloat16, the sessions are
simulated, batches come from training's own loader. ``waiting`` is the share of the time in which the step waits for
its batch. ``mfu`` is arithmetic a second over what the GPU can do at most, dense, in bfloat16. ``windowed`` is the time
a scored frame takes where every one re-runs its own window, over that of the clips. ``--device cpu --width 0.0625
--clips 20`` tries the benchmark itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from typing import Any

import torch

from benchmarks.counting import flops
from benchmarks.paired import paired
from benchmarks.published import model_config, optimizer
from benchmarks.simulated import sessions_of
from benchmarks.windowed import Windowed
from vctrain.config.resolve import resolve
from vctrain.config.schema import Settings
from vctrain.config.simulation import SimulationConfig
from vctrain.data.clips import ClipBatch
from vctrain.models.build import AnyTwin
from vctrain.models.twin import Twin
from vctrain.training.loaders import training_loader
from vctrain.training.loss import session_losses, step_loss
from vctrain.training.prepare import Prepared, prepare

PEAK_TFLOPS = {"H100 80GB HBM3": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0}
"""Of dense products in bfloat16, as their makers say; by a part of the GPU's name."""
WARM_UP = 5


def settings_of(options: argparse.Namespace, frames: int = 64, clips: int | None = None) -> Settings:
    """A run of the published network on simulated sessions of 60 pixels at 240 frames a second."""
    simulated = SimulationConfig(
        sessions=options.sessions, units=options.units, minutes=options.minutes, size=60, rate=240.0
    )
    sets: dict[str, object] = {
        "data.path": str(sessions_of(simulated) / "dataset.yaml"),
        "data.batch_clips": clips or options.clips,
        "data.clip_frames": frames,
        "data.residency": options.residency,
        "trainer.accelerator": "gpu" if options.device == "cuda" else "cpu",
        "trainer.steps_per_epoch": WARM_UP + options.steps,
        "model": model_config(options.width, grid=options.grid).model_dump(mode="json"),
    }
    return resolve(None, [], [], sets).settings


class Training:
    """Steps of a twin on a device."""

    def __init__(self, model: torch.nn.Module, twin: AnyTwin, device: torch.device) -> None:
        self.model, self.twin, self.device = model, twin, device
        self.optim = optimizer(twin)

    def step(self, batch: ClipBatch) -> None:
        """One optimizer step on clips that are on the device."""
        self.optim.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = step_loss(session_losses(self.model(batch.parts), batch), batch, 1)
        loss.backward()
        self.optim.step()

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def paced(training: Training, settings: Settings, prepared: Prepared) -> dict[str, Any]:
    """Seconds of the steps of an epoch, and the share of them spent waiting for batches."""
    seconds, waited = [], []
    batches = iter(training_loader(settings, prepared, 0, lambda: 0))
    training.wait()
    while True:
        begun = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        waited.append(time.perf_counter() - begun)
        training.step(batch.to(training.device, non_blocking=True))
        training.wait()
        seconds.append(time.perf_counter() - begun)
    seconds, waited = seconds[WARM_UP:], waited[WARM_UP:]
    frames = settings.data.batch_clips * settings.data.clip_frames
    return {
        "seconds_a_step": round(statistics.median(seconds), 5),
        "frames_a_second": round(frames * len(seconds) / sum(seconds)),
        "waiting": round(sum(waited) / sum(seconds), 4),
    }


def kernels(training: Training, batch: ClipBatch) -> dict[str, int] | None:
    """Kernels that a step launches, copies, and how often it waits for the device; None where there is no GPU."""
    if training.device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        training.step(batch)
        training.wait()
    on_gpu = [event for event in profiled.events() or () if event.device_type.name == "CUDA"]
    launched = [event for event in on_gpu if not event.is_user_annotation and not event.name.startswith("Mem")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            training.step(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = ["called a synchronizing" in str(warning.message) for warning in caught]
    return {"launches": len(launched), "copies": len(on_gpu) - len(launched), "syncs": sum(waits)}


def against_windows(options: argparse.Namespace, training: Training, batch: ClipBatch) -> dict[str, Any]:
    """A scored frame of single windows over one of clips, at as many windows a step as `--windows` says."""
    settings = settings_of(options, frames=1, clips=options.windows)
    prepared = prepare(settings, 1)
    windows = next(iter(training_loader(settings, prepared, 0, lambda: 0))).to(training.device)
    reference = Training(Windowed(training.twin), training.twin, training.device)

    def run(one: Training, given: ClipBatch) -> None:
        one.step(given)
        one.wait()

    units = options.windows, options.clips * 64
    return paired(lambda: run(reference, windows), lambda: run(training, batch), options.pairs, units)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, for the clips and the sessions asked for."""
    device = torch.device(options.device)
    settings = settings_of(options)
    prepared = prepare(settings, 1)
    movies = prepared.hold_movies(settings)
    assert isinstance(prepared.twin, Twin)
    twin = prepared.twin.to(device).train()
    twin.compiles = options.compile
    training = Training(twin, twin, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    batch = next(iter(training_loader(settings, prepared, 0, lambda: 0))).to(device)
    training.step(batch)
    training.wait()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    found: dict[str, Any] = {"device": name, "movies": movies, **paced(training, settings, prepared)}
    found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None
    twin.compiles = False
    arithmetic = flops(lambda: training.step(batch))
    twin.compiles = options.compile
    known = next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)
    peak = options.peak_tflops or known
    rate = arithmetic / found["seconds_a_step"] / 1e12
    found |= {"tflops": round(rate, 3), "mfu": None if peak is None else round(rate / peak, 4)}
    found["kernels"] = kernels(training, batch)
    if options.windows:
        found["windowed"] = against_windows(options, training, batch)
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    for name, value in (("sessions", 20), ("units", 100), ("clips", 40), ("steps", 20), ("windows", 80), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--grid", type=int, default=51)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--residency", choices=["auto", "device", "host", "mmap"], default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peak-tflops", type=float)
    options = parser.parse_args()
    asked = {name: value for name, value in vars(options).items() if name != "device"}
    print(json.dumps({"benchmark": "gpu", **asked, **measure(options)}))


if __name__ == "__main__":
    main()
