"""Which runs do folders, sweeps and names mean, and what is refused?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs.made_records import make_run

from vctrain.errors import ContractError, UsageError
from vctrain.runs.listing import runs_at


def index(sweep: Path, *numbers: str) -> None:
    sweep.mkdir(parents=True, exist_ok=True)
    members = [{"number": n, "config": f"{n}.yaml", "run": f"runs/lr-{n}", "differs": {}} for n in numbers]
    (sweep / "sweep.json").write_text(json.dumps({"format": 1, "members": members}))


def test_members_of_a_sweep_come_in_its_order_started_or_not(tmp_path) -> None:
    index(tmp_path / "lr", "000", "001")
    make_run(tmp_path / "lr" / "runs" / "lr-001")
    found = runs_at([tmp_path / "lr"])
    assert [(member.path.name, member.started) for member in found] == [("lr-000", False), ("lr-001", True)]
    assert [member.config for member in found] == [tmp_path / "lr/000.yaml", tmp_path / "lr/runs/lr-001/config.yaml"]
    assert runs_at([tmp_path]) == found


def test_a_run_named_twice_is_one(tmp_path) -> None:
    run = make_run(tmp_path / "runs" / "a")
    assert len(runs_at([run, tmp_path / "runs", tmp_path / "runs" / ".." / "runs" / "a"])) == 1


def test_what_holds_no_run_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=r"holds no run|does not exist"):
            runs_at([target])
    with pytest.raises(UsageError, match="no runs/ here"):
        runs_at([])
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        runs_at([tmp_path / "file"])


@pytest.mark.parametrize("text", ["", "[]", '{"members": [{"run": 1}]}'])
def test_a_damaged_index_is_named(text, tmp_path) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ContractError, match=r"sweep\.json is not the index"):
        runs_at([tmp_path])
