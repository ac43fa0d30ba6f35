"""Is a run directory planned without creating anything, created once, and kept readable at any moment?"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vctrain.config.resolve import read_settings, resolve
from vctrain.errors import ContractError, FaultError, UsageError
from vctrain.runs import directory
from vctrain.runs.naming import LONGEST, run_name, what_differs


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def created(tmp_path: Path, **flags: object) -> Path:
    resolved = resolve(None, [], [], flags)
    return directory.create_run_dir(
        tmp_path / "a" / "run", resolved.settings, resolved.provenance, ["vctrain", "train"]
    )


def test_planning_creates_nothing_and_names_differ(tmp_path):
    resolved = resolve(None, [], ["optim.lr=1e-3", "seed=3"])
    settings = resolved.settings.model_copy(update={"preset": "gaborium"})
    planned = {directory.plan_run_dir(settings, resolved.provenance) for _ in range(20)}
    assert len(planned) > 1
    assert all(re.fullmatch(r"runs/gaborium-seed3-lr1e-3-[0-9a-f]{4}", str(path)) for path in planned)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_directory_is_refused_untouched(tmp_path):
    resolved = resolve()
    (tmp_path / "mine").mkdir()
    for refused in (
        lambda: directory.plan_run_dir(resolved.settings, resolved.provenance, Path("mine")),
        lambda: directory.create_run_dir(Path("mine"), resolved.settings, resolved.provenance, []),
    ):
        with pytest.raises(UsageError, match="mine exists") as caught:
            refused()
        assert "--run-dir" in caught.value.hint
    assert list((tmp_path / "mine").iterdir()) == []
    assert directory.plan_run_dir(resolved.settings, resolved.provenance, Path("new")) == Path("new")


def test_a_created_run_says_everything_about_itself(tmp_path):
    run_dir = created(tmp_path, seed=4)
    assert read_settings(run_dir / "config.yaml").seed == 4
    assert "seed: 4  # --seed" in (run_dir / "config.yaml").read_text()
    run = directory.read_run(run_dir)
    assert run["state"] == "created"
    assert run["command"] == "vctrain train"
    assert {"vctrain", "torch", "python"} <= set(run["versions"])
    assert (run_dir / "checkpoints").is_dir()
    assert [json.loads(line)["event"] for line in (run_dir / "events.jsonl").read_text().splitlines()] == ["created"]


@pytest.mark.parametrize("below", ["run", "deep/er/run"])
def test_a_place_below_a_file_is_refused_by_the_files_name(tmp_path, below):
    (tmp_path / "file").write_text("kept")
    resolved = resolve()
    place = tmp_path / "file" / below
    for refused in (
        lambda: directory.plan_run_dir(resolved.settings, resolved.provenance, place),
        lambda: directory.create_run_dir(place, resolved.settings, resolved.provenance, []),
    ):
        with pytest.raises(UsageError, match=r"file is not a folder; nothing was created") as caught:
            refused()
        assert "--run-dir" in caught.value.hint
        assert "exists" not in caught.value.message
    assert (tmp_path / "file").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_runs_that_is_a_file_is_refused_too(tmp_path):
    (tmp_path / "runs").write_text("")
    resolved = resolve()
    with pytest.raises(UsageError, match=r"runs is not a folder"):
        directory.plan_run_dir(resolved.settings, resolved.provenance)


def test_a_place_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    resolved = resolve()
    with pytest.raises(FaultError, match="No space left"):
        directory.create_run_dir(tmp_path / "run", resolved.settings, resolved.provenance, [])


def test_updates_are_never_seen_in_half(tmp_path):
    run_dir = created(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [directory.update_run(run_dir, step=n, pad="x" * 5000) for n in range(60)])
        while not writing.done():
            assert directory.read_run(run_dir)["format"] == 1
    assert directory.read_run(run_dir)["step"] == 59
    assert not list(run_dir.glob(".*.part"))


def test_a_damaged_run_is_a_contract_error(tmp_path):
    with pytest.raises(ContractError, match=r"run\.json"):
        directory.read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ContractError, match=r"run\.json"):
        directory.read_run(tmp_path)


def test_an_event_after_a_line_that_was_cut_off_stands_on_its_own(tmp_path):
    run_dir = created(tmp_path)
    with (run_dir / "events.jsonl").open("a") as file:
        file.write('{"v": 1, "eve')
    directory.append_event(run_dir, "validated", bps=float("nan"), path=run_dir)
    lines = (run_dir / "events.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[-1])["bps"] is None
    assert json.loads(lines[-1])["path"] == str(run_dir)


def test_the_contract_is_written(tmp_path):
    run_dir = created(tmp_path)
    directory.write_contract(run_dir, [{"name": "a", "cids": (1, 2)}])
    stored = json.loads((run_dir / "contract.json").read_text())
    assert stored == {"format": 1, "sessions": [{"name": "a", "cids": [1, 2]}]}


def test_processes_started_together_agree_on_the_directory(monkeypatch):
    resolved = resolve(None, [], ["seed=3"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="several processes") as caught:
        directory.plan_run_dir(resolved.settings, resolved.provenance)
    assert "--run-dir" in caught.value.hint
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-7")
    plans = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        plans.append(directory.plan_run_dir(resolved.settings, resolved.provenance))
    assert plans[0] == plans[1]
    plans[0].mkdir(parents=True)
    assert directory.plan_run_dir(resolved.settings, resolved.provenance) == plans[0]
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="exists"):
        directory.plan_run_dir(resolved.settings, resolved.provenance)


@pytest.mark.parametrize(
    ("sets", "flags", "expected"),
    [
        (["optim.lr=3e-3"], {}, "lr3e-3"),
        (["optim.lr=0.5"], {}, "lr0.5"),
        (["model.modulator.type=film"], {}, "modulator-film"),
        (["model.frontend.bias=true"], {}, "bias"),
        (["model.frontend.bias=false"], {}, "no-bias"),
        ([], {"data.path": "/x/salamander.yaml", "trainer.devices": 2}, "salamander"),
        ([], {"data.types": ["gaborium", "backimage"]}, "gaborium+backimage"),
        (["seed=3", "optim.grad_clip=0.25"], {"trainer.nodes": 2}, "grad_clip0.25-seed3"),
    ],
)
def test_what_differs(sets, flags, expected):
    resolved = resolve(None, [], sets, flags)
    assert set(what_differs(resolved.settings, resolved.provenance).split("-")) == set(expected.split("-"))


@examples(max_examples=40)
@given(path=st.text(min_size=1), types=st.lists(st.text(), max_size=9), lr=st.floats(1e-8, 1e8))
def test_a_name_is_one_short_path_component(path, types, lr):
    resolved = resolve(None, [], [], {"data.path": path, "data.types": types, "optim.lr": lr})
    name = run_name(resolved.settings, resolved.provenance, "12ab")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*-12ab", name)
    assert len(name) <= len("run--12ab") + LONGEST


def test_a_config_file_counts_by_its_name(tmp_path):
    (tmp_path / "wide core.yaml").write_text("seed: 1\noptim: {lr: 3}\n")
    resolved = resolve(None, [tmp_path / "wide core.yaml"])
    assert run_name(resolved.settings, resolved.provenance, "12ab") == "wide_core-12ab"
    with_preset = resolved.settings.model_copy(update={"preset": "gaborium"})
    assert run_name(with_preset, resolved.provenance, "12ab") == "gaborium-wide_core-12ab"


def test_a_model_replaced_by_name_is_told_by_its_name() -> None:
    resolved = resolve("gaborium", [], ["model=twin_small", "optim.lr=3e-3"], {})
    assert what_differs(resolved.settings, resolved.provenance) == "twin_small-lr3e-3"
