"""How a Lightning trainer is made for this machine: accelerator, processes, precision, silence."""

from __future__ import annotations

import datetime
import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy

from vctrain.errors import FaultError, UsageError
from vctrain.runs.checkpoint_files import AtomicCheckpointIO
from vctrain.runs.supervisor import launched_externally


def resolve_accelerator(accelerator: str) -> str:
    """``cpu`` or ``gpu``; ``auto`` takes a GPU when torch sees one.

    `FaultError` when a GPU was asked for and none is there.
    """
    if accelerator == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise FaultError(
            "--accelerator gpu: torch sees no GPU here",
            hint="use --accelerator cpu, or install a torch build for your GPU",
        )
    return accelerator


AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""What a precision computes in where it does not keep float32."""


def device_of(accelerator: str) -> torch.device:
    """The device of this process, outside of a trainer."""
    if accelerator != "gpu":
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """What a trainer of this ``precision`` computes in, outside of one."""
    return torch.autocast(device.type, dtype=AUTOCAST.get(precision), enabled=precision in AUTOCAST)


def check_devices(accelerator: str, devices: int, nodes: int) -> None:
    """Refuse numbers of devices and nodes that this start cannot give.

    Raises UsageError for nodes that nobody started, FaultError for more GPUs than there are.
    """
    if nodes > 1 and not launched_externally():
        raise UsageError(
            f"--nodes {nodes}: this process was not started as one of several nodes",
            hint="start one command a process with srun or torchrun; vctrain itself starts processes on one machine",
        )
    if accelerator == "gpu" and devices > torch.cuda.device_count():
        raise FaultError(
            f"--devices {devices}: torch sees {torch.cuda.device_count()} GPU(s)", hint="ask for fewer devices"
        )


def world() -> tuple[int, int]:
    """This process's rank and the number of processes, from the launcher's variables."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", "1"))
    if launched_externally():
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    return 0, 1


def leave() -> None:
    """Take leave of the other processes, when all is done together.

    Threads of a process group that is still there when Python ends abort the process at times (seen in 1 of 13
    evaluations on two processes), which then looks like a failure.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _hush() -> None:
    """Lightning's banners and its advice on data loader workers do not concern our loaders."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*lr_scheduler.step.*before.*optimizer.step.*",
        ".*is smaller than the logging interval.*",
        ".*LeafSpec.*",
        ".*in eval mode at the start of training.*",
        ".*broadcast_buffers.*",
        ".*sync_dist.*",
        ".*srun.*command is available on your system.*",
        ".*resuming from a checkpoint that ended before the epoch ended.*",
    ):
        warnings.filterwarnings("ignore", message=pattern)


def build_trainer(
    *,
    accelerator: str,
    devices: int,
    nodes: int = 1,
    precision: str = "32-true",
    silence_minutes: float = 30.0,
    callbacks: Sequence[pl.Callback] = (),
    **options: Any,
) -> pl.Trainer:
    """A Lightning trainer on one process or DDP.

    Samplers, progress and logging are ours; see the callbacks. Buffers are constants, so DDP need not broadcast them
    (a broadcast would also deadlock a validation whose chunks do not divide by the ranks), and every parameter takes
    part in every step, so nothing unused has to be looked for.
    """
    _hush()
    torch.set_float32_matmul_precision("high")
    strategy: Strategy | str = "auto"
    if devices * nodes > 1:
        backend = "nccl" if accelerator == "gpu" else "gloo"
        strategy = DDPStrategy(
            find_unused_parameters=False,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            process_group_backend=backend,
            timeout=datetime.timedelta(minutes=silence_minutes),
        )
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO(), _cluster()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        inference_mode=True,
        **options,
    )
    # Signals are ours, and so is the agreement of all processes on what they mean: Lightning's handler talks to other
    # processes while it interrupts this one, and its loop waits for a broadcast from rank 0 in every step.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


def _cluster() -> ClusterEnvironment:
    """Who started the processes. SLURM's requeueing is left to the job script, which sees the exit code."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if launched_externally():
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()
