"""No checkpoint file, however it was damaged or made up, runs code, hangs, or takes memory: one error each, exit 3."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runs" / "migration"))

from made_hostile import FAMILIES, MAY_BE_HARMLESS, TOTAL, Source
from made_old import RESNET, UNITS, dataset, made_twin, write_old

HERE = Path(__file__).parent
MEMORY = 2 << 30


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two intact checkpoints of one model, with all that is needed to migrate them and to check the rates."""
    folder = tmp_path_factory.mktemp("sources")
    model = copy.deepcopy(RESNET)
    model["frontend"]["params"]["anti_aliasing"] = False
    twin = made_twin(model, "old")
    inside = {
        "model_class": None,
        "model_config": model,
        "dataset_configs": [dataset(name, cids) for name, cids in UNITS.items()],
        "optim_kwargs": {"lr": 1e-3},
    }
    moments = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"params": [0]}]}
    made = write_old(folder, twin, model, inside, optimizer_states=[moments])
    wide = write_old(folder / "wide", twin, model, {**inside, "notes": ["x" * 200] * 20, "more": list(range(500))})
    kept = []
    for one in (made, wide):
        content = torch.load(one.checkpoint, weights_only=False)
        kept.append(Source(one.checkpoint.read_bytes(), content))
    (folder / "sources.pickle").write_bytes(pickle.dumps(kept))
    return folder


def run(sources: Path, work: Path, numbers: str) -> list[dict[str, Any]]:
    work.mkdir()
    arguments = [sys.executable, str(HERE / "hostile_worker.py"), str(sources), str(work), numbers]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=3600)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    first, stop, step = map(int, numbers.split(":"))
    assert len(told) == len(range(first, stop, step)), (told[-1:], done.stderr[-2000:])
    return told


def judge(told: dict[str, Any]) -> str | None:
    """What is wrong with how a file was handled; None if nothing is."""
    where = f"file {told['number']} ({told['family']})"
    if told["ran"]:
        return f"{where}: code ran"
    if told["left"]:
        return f"{where}: left {told['left']}"
    if told["peak"] > MEMORY:
        return f"{where}: {told['peak'] >> 20} MiB"
    if told["code"] == 0 and told["family"] in MAY_BE_HARMLESS:
        result = json.loads(told["out"])
        return None if result["check"]["max_rel"] <= 1e-5 else f"{where}: wrong rates"
    if told["code"] != 3:
        return f"{where}: exit {told['code']}: {told['out'][:400]}"
    result = json.loads(told["out"])
    error = result["error"]
    if result["ok"] or error["code"] != 3 or "\n" in error["message"] or not error["message"] or not error["hint"]:
        return f"{where}: {result}"
    return None


def test_the_numbers_name_two_thousand_files() -> None:
    assert TOTAL == 2000
    assert all(count >= 60 for _, count in FAMILIES.values())


def test_the_sources_are_intact(sources: Path, tmp_path: Path) -> None:
    """Else every file would be refused for another reason than its damage."""
    from vctrain.runs.migration.migrate import Sources, migrate

    for number, checkpoint in enumerate(sorted(sources.rglob("*.ckpt"))):
        options = Sources(None, sources / "datasets", None, sources / "batch.npz")
        result = migrate(checkpoint, tmp_path / f"{number}.pt", options)
        assert result["check"]["max_rel"] < 1e-5


def test_two_hundred_files(sources: Path, tmp_path: Path) -> None:
    wrong = list(filter(None, map(judge, run(sources, tmp_path / "work", f"3:{TOTAL}:10"))))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_two_thousand_files(sources: Path, tmp_path: Path) -> None:
    told = run(sources, tmp_path / "work", f"0:{TOTAL}:1")
    wrong = list(filter(None, map(judge, told)))
    assert not wrong, "\n".join(wrong)
    assert max(one["seconds"] for one in told) < 30
