"""What a file describes is built within bounds, and everything that goes wrong is that file's error."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from vctrain.errors import ContractError
from vctrain.runs.bounds import Bounded
from vctrain.runs.checkpoints import read_checkpoint

TOO_LARGE: list[Any] = [
    lambda: torch.nn.Linear(100_000, 100_000),
    lambda: torch.empty(1 << 40),
    lambda: torch.arange(0, 6e9),
    lambda: torch.zeros(1, 1).expand(1 << 20, 1 << 20).contiguous(),
    lambda: torch.nn.functional.pad(torch.zeros(1, 1, 4, 4), (50_000,) * 4, mode="replicate"),
    lambda: torch.nn.functional.adaptive_avg_pool2d(torch.zeros(1, 1, 4, 4), 100_000),
    lambda: [torch.nn.Linear(4000, 4000) for _ in range(100)],
    lambda: [torch.zeros(1) for _ in range(100_000)],
]


@pytest.mark.parametrize("make", TOO_LARGE)
def test_what_is_too_large_is_refused_before_it_is_made(make: Any) -> None:
    with pytest.raises(ContractError, match=r"a\.pt: the model it describes is far larger"), Bounded([], "a.pt"):
        make()


def test_what_the_tensors_of_the_file_justify_is_made() -> None:
    big = torch.zeros(3000, 3000)
    with Bounded([big], "a.pt"):
        made = torch.nn.Sequential(torch.nn.Linear(3000, 3000), torch.nn.Linear(3000, 3000))
        assert made(torch.ones(1, 3000)).shape == (1, 3000)


@pytest.mark.parametrize(
    "wrong", [lambda: torch.nn.Conv3d(3, 4, 3, groups=2), lambda: torch.ones(2) @ torch.ones(3), lambda: [][0]]
)
def test_what_cannot_be_built_is_the_files_error(wrong: Any) -> None:
    with pytest.raises(ContractError, match="cannot be built"), Bounded([], "a.pt"):
        wrong()


def test_other_errors_pass() -> None:
    with pytest.raises(ContractError, match="mine"), Bounded([], "a.pt"):
        raise ContractError("mine", hint="x")
    with pytest.raises(KeyboardInterrupt), Bounded([], "a.pt"):
        raise KeyboardInterrupt


def test_a_checkpoint_whose_config_asks_for_too_much_is_refused(tiny_run, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_run.checkpoints / "best.ckpt", tmp_path / "a.ckpt"))
    raw = torch.load(path, weights_only=True)
    raw["vctrain"]["model"]["convnet"]["stem"]["channels"] = 1 << 28
    torch.save(raw, path)
    with pytest.raises(ContractError, match=r"a\.ckpt"):
        read_checkpoint(path).build()
