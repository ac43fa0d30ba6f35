"""Free memory is what the machine has and every control group above the process leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vctrain.training.room import free_bytes

CPU = torch.device("cpu")
MEMINFO = "MemTotal:       1000 kB\nMemAvailable:    800 kB\nHugePages_Total:   0\n"


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def free(tmp_path: Path, cgroup: str, groups: dict[str, str], meminfo: str = MEMINFO) -> int | None:
    proc = written(tmp_path / "proc", {"meminfo": meminfo, "self/cgroup": cgroup})
    return free_bytes(CPU, proc, written(tmp_path / "groups", {"here": "", **groups}))


def test_without_limits_it_is_that_of_the_machine(tmp_path: Path) -> None:
    unlimited = {"job/memory.max": "max\n", "job/memory.current": "700000\n"}
    assert free(tmp_path, "0::/job\n", unlimited) == 800 << 10


@pytest.mark.parametrize(
    ("cgroup", "groups", "expected"),
    [
        # what was read from files and is not in use can be dropped
        ("0::/job/step\n", {"job/step/memory.max": "500000", "job/step/memory.current": "300000",
                            "job/step/memory.stat": "anon 100000\ninactive_file 50000\n"}, 250_000),
        # a batch system limits the job, not the step
        ("0::/job/step\n", {"job/step/memory.max": "max", "job/step/memory.current": "1",
                            "job/memory.max": "400000", "job/memory.current": "300000"}, 100_000),
        ("12:memory:/slurm/job\n3:cpu:/\n", {"memory/slurm/job/memory.limit_in_bytes": "600000",
                                            "memory/slurm/job/memory.usage_in_bytes": "100000",
                                            "memory/slurm/job/memory.stat": "total_inactive_file 7\n"}, 500_007),
        ("0::/job\n", {"job/memory.max": "100", "job/memory.current": "200"}, 0),
        ("3:cpu:/job\n", {"job/memory.max": "100", "job/memory.current": "200"}, 800 << 10),
    ],
)  # fmt: skip
def test_a_control_group_leaves_less(cgroup: str, groups: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert free(tmp_path, cgroup, groups) == expected


def test_where_nobody_tells_it_is_unknown(tmp_path: Path) -> None:
    assert free_bytes(CPU, tmp_path / "proc", tmp_path / "groups") is None


def test_this_machine_tells_something_sensible() -> None:
    found = free_bytes(CPU)
    if Path("/proc/meminfo").exists():
        assert found is not None
        assert 1 << 20 < found < 1 << 50
