"""What doctor says of a machine that lacks something."""

from __future__ import annotations

import resource
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from vctrain.config.schema import LoggingConfig
from vctrain.runs import machine
from vctrain.runs.machine import (
    Check,
    check_devices_here,
    check_disk,
    check_files,
    check_network,
    check_shared_memory,
    check_versions,
    check_wandb,
    worst,
)

Usage = namedtuple("Usage", "total used free")


def test_versions_that_were_not_tested_fail(monkeypatch) -> None:
    assert check_versions().state == "ok"
    real = machine.metadata.version
    monkeypatch.setattr(machine.metadata, "version", lambda name: "1.0" if name == "torch" else real(name))
    found = check_versions()
    assert found.state == "fail"
    assert "torch is 1.0, not " in found.found


def test_devices(monkeypatch) -> None:
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    assert check_devices_here("gpu", 1).state == "fail"
    monkeypatch.setattr(machine.torch.version, "cuda", None)
    assert check_devices_here("auto", 1).state == "ok"
    assert check_devices_here("cpu", 1000).state == "warn"
    monkeypatch.setattr(machine.torch.version, "cuda", "12.4")
    assert check_devices_here("auto", 1).state == "warn"


def test_open_files(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 512))
    assert check_files(10).state == "ok"
    found = check_files(100)
    assert (found.state, found.fix) == ("fail", "ulimit -n 328")
    assert "this shell may have 512" in check_files(1000).fix


def test_disk(tmp_path: Path, monkeypatch) -> None:
    assert check_disk(tmp_path / "runs" / "a", 1000, 3).state == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 10_000_000))
    assert check_disk(tmp_path, 1_000_000, 3).state == "fail"
    assert check_disk(tmp_path, 10_000, 3).state == "warn"


def test_shared_memory_is_for_several_gpus(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 64 << 20))
    assert check_shared_memory(1, True).state == check_shared_memory(2, False).state == "ok"
    assert check_shared_memory(2, True).state == "warn"


def test_network(monkeypatch) -> None:
    for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    assert check_network(1, 1).state == check_network(2, 1).state == "ok"
    assert check_network(2, 2).state == "warn"

    def unknown(name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    assert (check_network(2, 1).state, check_network(2, 2).state) == ("warn", "fail")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "nowhere0")
    assert "nowhere0" in check_network(2, 1).found


def test_wandb_is_never_a_failure(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert check_wandb(LoggingConfig()).state == "ok"
    online = LoggingConfig(wandb="online")
    assert check_wandb(online).found == "no API key"
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    found = check_wandb(online)
    assert found.state == "warn"
    assert "does not answer" in found.found


@pytest.mark.parametrize(("codes", "expected"), [([], 0), ([3], 3), ([5], 5), ([3, 5, 3], 5)])
def test_the_machine_comes_before_the_data(codes: list[int], expected: int) -> None:
    checks = [Check("a", "warn", "w"), *(Check("b", "fail", "f", code=code) for code in codes)]
    assert worst(checks) == expected
