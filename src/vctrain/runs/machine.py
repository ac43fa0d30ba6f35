"""Is this machine fit for a run: versions, devices, limits, disk, network? Torch is asked, nothing is started."""

from __future__ import annotations

import netrc
import os
import platform
import resource
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from packaging.requirements import Requirement

from vctrain.config.schema import LoggingConfig

State = Literal["ok", "warn", "fail"]
ENVIRONMENT, DATA = 5, 3
FILES_A_RECORDING = 2
"""Descriptors that are open at once for one recording, at most."""
SHM_BYTES = 256 << 20
"""What processes with GPUs exchange through /dev/shm (NCCL asks for about 33 MB a channel and peer)."""
WANDB = "https://api.wandb.ai"
_REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    fix: str = ""
    code: int = ENVIRONMENT
    """The exit code of a failure."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key: value for key, value in asdict(self).items() if key != "code"}


def check_versions() -> Check:
    """Whether what is installed is what this version was tested with."""
    wrong, found = [], [f"python {platform.python_version()}"]
    for text in metadata.requires("vctrain") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name} is not installed")
            continue
        if wanted.name in ("torch", "lightning", "pydantic", "wandb"):
            found.append(f"{wanted.name} {version}")
        if not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} is {version}, not {wanted.specifier}")
    if wrong:
        return Check("versions", "fail", "; ".join(wrong), "pip install --upgrade vctrain in a fresh environment")
    return Check("versions", "ok", ", ".join(found))


def check_devices_here(accelerator: str, devices: int) -> Check:
    """What there is to compute on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        built = torch.version.cuda
        if accelerator == "gpu":
            fix = "use --accelerator cpu, or install a torch build for your GPU and its driver"
            return Check("devices", "fail", f"torch {torch.__version__} sees no GPU", fix)
        if built is not None:
            fix = "if this machine has a GPU, see nvidia-smi and the driver's version; else nothing"
            return Check("devices", "warn", f"{cores} cores, no GPU, and torch is built for CUDA {built}", fix)
        state: State = "warn" if devices > cores else "ok"
        fix = f"processes share cores; ask for at most {cores}" if state == "warn" else ""
        return Check("devices", state, f"{cores} cores, no GPU; bf16 {_bf16_of_cpu()}", fix)
    names = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    found = ", ".join(f"{p.name} {p.total_memory / 2**30:.0f} GiB" for p in names)
    if devices > len(names):
        return Check("devices", "fail", f"{devices} asked for, {len(names)} there: {found}", "ask for fewer --devices")
    return Check("devices", "ok", f"{found}; bf16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}; {cores} cores")


def _bf16_of_cpu() -> str:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    return "in hardware" if "avx512_bf16" in flags or "amx_bf16" in flags else "emulated, slower than float32"


def check_files(recordings: int) -> Check:
    """Whether so many recordings may be open at once."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_A_RECORDING * recordings + 128
    shown = "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
    if limit != resource.RLIM_INFINITY and limit < needed:
        can = "" if most == resource.RLIM_INFINITY or most >= needed else f" (this shell may have {most})"
        return Check("open files", "fail", f"{shown} allowed, {needed} needed", f"ulimit -n {needed}{can}")
    return Check("open files", "ok", f"{shown} allowed, about {needed} needed")


def check_shared_memory(processes: int, gpu: bool) -> Check:
    """/dev/shm, through which processes with GPUs exchange gradients."""
    path = Path("/dev/shm")
    if processes == 1 or not gpu:
        return Check("shared memory", "ok", "not needed: one process, or none with a GPU")
    if not path.is_dir():
        return Check("shared memory", "warn", "no /dev/shm", "in a container: --ipc=host or --shm-size=8g")
    free = shutil.disk_usage(path).free
    if free < SHM_BYTES * processes:
        found = f"{free >> 20} MiB free in /dev/shm"
        return Check("shared memory", "warn", found, "in a container: --ipc=host or --shm-size=8g")
    return Check("shared memory", "ok", f"{free >> 20} MiB free in /dev/shm")


def check_disk(folder: Path, parameters: int, kept: int) -> Check:
    """Whether the checkpoints of a run fit where it will be: weights and two moments of Adam in float32, each."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    one = 12 * parameters + (1 << 20)
    # the best, the last, the one before it, and one being written
    needed, free = one * (kept + 3), shutil.disk_usage(place).free
    found = (
        f"{free / 1e9:.1f} GB free in {place}, {needed / 1e9:.2g} GB for {kept + 3} checkpoints of {one / 1e6:.3g} MB"
    )
    if not os.access(place, os.W_OK):
        return Check("disk", "fail", f"{place} may not be written", "choose another --run-dir")
    if free < needed:
        return Check("disk", "fail", found, "make room, choose another --run-dir, or lower checkpoint.keep_best")
    return Check("disk", "warn" if free < 3 * needed else "ok", found, "it is tight" if free < 3 * needed else "")


def check_network(processes: int, nodes: int) -> Check:
    """Whether processes would find each other."""
    if processes == 1:
        return Check("network", "ok", "not needed: one process")
    name, chosen = socket.gethostname(), os.environ.get("NCCL_SOCKET_IFNAME") or os.environ.get("GLOO_SOCKET_IFNAME")
    interfaces = [found for _, found in socket.if_nameindex()]
    wanted = (chosen or "").lstrip("^=").split(",")
    if chosen and not chosen.startswith("^") and not any(i.startswith(w) for i in interfaces for w in wanted):
        found = f"NCCL_SOCKET_IFNAME or GLOO_SOCKET_IFNAME is {chosen}, interfaces are {', '.join(interfaces)}"
        return Check("network", "fail", found, "name one of them, or unset the variable")
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        found = f"the host's own name {name} has no address ({error.strerror or error})"
        state: State = "fail" if nodes > 1 else "warn"
        return Check("network", state, found, "add it to /etc/hosts, or set GLOO_SOCKET_IFNAME=lo for one machine")
    if nodes > 1 and address.startswith("127."):
        found = f"{name} is {address}, which other nodes cannot reach"
        return Check("network", "warn", found, f"set NCCL_SOCKET_IFNAME to one of {', '.join(interfaces)}")
    return Check("network", "ok", f"{name} is {address}; interfaces {', '.join(interfaces)}")


def check_wandb(asked: LoggingConfig) -> Check:
    """Whether Weights & Biases can be reached, where that is wanted. No failure: a run does not need it."""
    if asked.wandb != "online":
        return Check("Weights & Biases", "ok", f"not needed: logging.wandb is {asked.wandb}")
    address = os.environ.get("WANDB_BASE_URL", WANDB)
    later = "the run goes on without; vctrain sync RUN shows it later, or use --wandb offline"
    if not _has_key(address):
        return Check("Weights & Biases", "warn", "no API key", f"wandb login, or set WANDB_API_KEY; {later}")
    try:
        with urllib.request.urlopen(address, timeout=_REACH_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # it answered
    except (OSError, ValueError) as error:
        return Check(
            "Weights & Biases", "warn", f"{address} does not answer ({getattr(error, 'reason', error)})", later
        )
    return Check("Weights & Biases", "ok", f"{address} answers")


def _has_key(address: str) -> bool:
    """Where the client looks: the variable, and what wandb login wrote."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    return known.authenticators(urllib.parse.urlsplit(address).hostname or "") is not None


def worst(checks: Sequence[Check]) -> int:
    """The exit code: 0, that of the environment before that of the data."""
    failed = [check.code for check in checks if check.state == "fail"]
    return 0 if not failed else max(failed)
