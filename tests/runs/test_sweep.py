"""Does a sweep hold what was asked for, checked before anything is written, and do its configs mean the same again?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from made_sessions import SETTINGS
from runs.made_sweeps import grid_file, without

from vctrain import presets
from vctrain.config.resolve import resolve
from vctrain.errors import ContractError, UsageError
from vctrain.runs.listing import runs_at
from vctrain.runs.status import status_of
from vctrain.runs.sweep import plan, write
from vctrain.runs.table import table_of


@pytest.fixture
def grid(tmp_path, tiny_data) -> Path:
    return grid_file(tmp_path, tiny_data)


def test_configs_are_numbered_say_what_differs_and_resolve_to_the_same_settings(tmp_path, tiny_data) -> None:
    grid = grid_file(
        tmp_path, tiny_data, set=without(SETTINGS, "optim.lr", "seed"), seeds=2,
        grid={"optim.lr": ["1e-3", 0.003]}, points=[{"model.output": "exp"}],
    )  # fmt: skip
    planned = plan(grid)
    write(planned, tmp_path / "lr")
    assert [(one.number, one.differs) for one in planned.members] == [
        ("000", {"optim.lr": 1e-3, "seed": 0}), ("001", {"optim.lr": 1e-3, "seed": 1}),
        ("002", {"optim.lr": 3e-3, "seed": 0}), ("003", {"optim.lr": 3e-3, "seed": 1}),
        ("004", {"model.output": "exp", "seed": 0}), ("005", {"model.output": "exp", "seed": 1}),
    ]  # fmt: skip
    for one in planned.members:
        path = tmp_path / "lr" / f"{one.number}.yaml"
        assert resolve(None, [path]).settings == one.resolved.settings
        assert path.read_text().startswith(f"# {one.number} of grid.yaml: ")
    assert "optim.lr 0.003, seed 1" in (tmp_path / "lr" / "003.yaml").read_text().splitlines()[0]
    index = json.loads((tmp_path / "lr" / "sweep.json").read_text())
    assert [entry["run"] for entry in index["members"]] == [f"runs/lr-00{n}" for n in range(6)]
    assert [entry["differs"] for entry in index["members"]] == [one.differs for one in planned.members]


@pytest.mark.parametrize("name", presets.names())
def test_a_config_means_the_same_whatever_preset_it_came_from(name, tmp_path, tiny_data) -> None:
    varied = [{"model": "twin_small"}, {"seed": 3, "data.types": ["gaborium"]}]
    grid = grid_file(tmp_path, tiny_data, preset=name, config=None, data=None, set=None, grid=None, points=varied)
    planned = plan(grid)
    write(planned, tmp_path / "out")
    for one in planned.members:
        assert resolve(None, [tmp_path / "out" / one.config]).settings == one.resolved.settings
        assert one.resolved.settings.preset == name


@pytest.mark.parametrize("script", ["sweep.sh", "sweep.sbatch"])
def test_scripts_are_bash_and_name_each_member(script, tmp_path, tiny_data) -> None:
    out = tmp_path / "it's a sweep"
    write(plan(grid_file(tmp_path, tiny_data, slurm=["--time=1:00:00", "--gpus-per-node=1"])), out)
    text = (out / script).read_text()
    assert subprocess.run(["bash", "-n", str(out / script)], capture_output=True).stderr == b""
    assert "--or-start" in text
    if script == "sweep.sh":
        assert "in 000 001;" in text
    else:
        assert "#SBATCH --array=0-1\n" in text
        assert "#SBATCH --gpus-per-node=1\n" in text
        assert text.index("\ncd ") > text.rindex("#SBATCH")
        assert '[ $code = 75 ]; then scontrol requeue "$SLURM_JOB_ID"' in text


def call(script: Path, folder: Path, codes: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script with a ``vctrain`` that ends with one of ``codes`` after the other and writes its arguments down."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    (folder / "codes").write_text("\n".join(codes.split()))
    stand_in = (
        f'#!/bin/bash\necho "$PWD $*" >> "{folder}/calls"\ncode=$(head -1 "{folder}/codes")\n'
        f'sed -i 1d "{folder}/codes"\nexit $code\n'
    )
    srun, scontrol = '#!/bin/bash\n"$@"\n', f'#!/bin/bash\necho "$*" > "{folder}/requeued"\n'
    for name, text in (("vctrain", stand_in), ("srun", srun), ("scontrol", scontrol)):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    return subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, cwd=folder,
        env={"PATH": f"{commands}:/usr/bin:/bin", **environment},
    )  # fmt: skip


def test_the_loop_goes_on_after_a_failure_stops_when_asked_and_writes_the_codes(tmp_path, tiny_data) -> None:
    out = tmp_path / "a b"
    write(plan(grid_file(tmp_path, tiny_data, grid={"seed": [1, 2, 3]}, set=without(SETTINGS, "seed"))), out)
    done = call(out / "sweep.sh", tmp_path, "0 3 0")
    assert done.returncode == 1
    assert "failed: 001" in done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [f"{out} resume runs/a b-{n} --or-start --config {n}.yaml" for n in ("000", "001", "002")]
    statuses = [status_of(member) for member in runs_at([out])]
    assert [one.state for one in statuses] == ["not started", "failed", "not started"]
    assert "ended with 3" in (statuses[1].reason or "")
    assert call(out / "sweep.sh", tmp_path, "0 0 0").returncode == 0
    (tmp_path / "calls").unlink()
    assert call(out / "sweep.sh", tmp_path, "0 75 0").returncode == 75
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_a_task_of_the_array_trains_its_member_and_is_requeued_on_75_only(tmp_path, tiny_data) -> None:
    out = tmp_path / "lr"
    write(plan(grid_file(tmp_path, tiny_data)), out)
    job = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_JOB_ID": "77"}
    assert call(out / "sweep.sbatch", tmp_path, "3", **job).returncode == 3
    assert not (tmp_path / "requeued").exists()
    assert call(out / "sweep.sbatch", tmp_path, "75", **job).returncode == 75
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"
    assert set((tmp_path / "calls").read_text().splitlines()) == {
        f"{out} resume runs/lr-001 --or-start --config 001.yaml"
    }


def test_members_never_started_have_rows_with_what_differs(grid, tmp_path) -> None:
    write(plan(grid), tmp_path / "lr")
    table = table_of([status_of(member) for member in runs_at([tmp_path / "lr"])])
    assert table.differing == ("optim.weight_decay",)
    assert [(row["run"], row["state"], row["optim.weight_decay"]) for row in table.rows] == [
        ("lr-000", "not started", 0.0), ("lr-001", "not started", 1e-4),
    ]  # fmt: skip
    (tmp_path / "lr" / "001.yaml").unlink()
    assert "001.yaml" in (status_of(runs_at([tmp_path / "lr"])[1]).reason or "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grid": {"optim.lrr": [1e-3]}}, "member 000 (optim.lrr 0.001): unknown key optim.lrr"),
        ({"grid": {"optim.weight_decay": [0.0, -1.0]}}, "member 001 (optim.weight_decay -1.0)"),
        ({"grid": {"optim.decay_epochs": [3]}}, "has no effect without optim.schedule=step"),
        ({"grid": {"optim.weight_decay": [0.0, 0]}}, "members 000 and 001 have the same settings"),
        ({"config": "none.yaml"}, "none.yaml"),
        ({"overlays": ["quick"]}, "overlay"),
        ({"data": "nowhere"}, "nowhere does not exist"),
        ({"grid": {"seed": list(range(10_001))}, "set": {}}, "at most 9,999"),
    ],
)
def test_a_member_that_cannot_be_is_refused_and_nothing_is_written(changes, said, tmp_path, tiny_data) -> None:
    grid = grid_file(tmp_path, tiny_data, **changes)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((UsageError, ContractError)) as caught:
        plan(grid)
    assert said in caught.value.message
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_exists_is_left_alone(grid, tmp_path) -> None:
    (tmp_path / "lr").mkdir()
    with pytest.raises(UsageError, match="lr exists"):
        write(plan(grid), tmp_path / "lr")
    assert list((tmp_path / "lr").iterdir()) == []
    assert not list(tmp_path.glob(".*"))
