"""Is every difference from an earlier run's circumstances said, and nothing where there is none?"""

from __future__ import annotations

import copy

import pytest
from made_sessions import settings

from vctrain.runs.circumstances import differences, same_metrics
from vctrain.runs.directory import create_run_dir, read_run


@pytest.fixture
def record(tmp_path):
    found = read_run(create_run_dir(tmp_path / "run", settings("nowhere"), {}, ["vctrain"]))
    if found["git"] is not None:
        found["git"]["dirty"] = False
    return found


def test_the_same_place_differs_in_nothing(record) -> None:
    assert [line for line in differences(record) if "not committed" not in line] == []


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("versions", "torch", "2.0.0", "instead of 2.0.0"),
        ("host", "name", "elsewhere", "instead of elsewhere"),
        ("host", "cpus", 999, "instead of 999"),
        ("host", "threads", "77", "OMP_NUM_THREADS"),
    ],
)
def test_each_difference_is_a_line(section, key, value, said, record) -> None:
    changed = copy.deepcopy(record)
    changed[section][key] = value
    new = [line for line in differences(changed) if line not in differences(record)]
    assert len(new) == 1
    assert said in new[0]


def test_another_commit_and_changed_files_are_said(record) -> None:
    if record["git"] is None:
        assert differences({**record, "git": {"commit": "0" * 40, "dirty": False}})
        return
    other = {**record, "git": {"commit": "0" * 40, "dirty": True}}
    said = "\n".join(differences(other))
    assert "instead of 000000000000" in said
    assert "not committed then" in said


def test_a_record_that_knows_little_is_compared_as_far_as_it_goes(record) -> None:
    assert all("git" in line for line in differences({"state": "done"}))


def test_metrics_are_compared_byte_for_byte(tmp_path) -> None:
    for name, text in (("a", "step\n1\n"), ("b", "step\n1\n"), ("c", "step\n2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    assert same_metrics(tmp_path / "a", tmp_path / "b")
    assert not same_metrics(tmp_path / "a", tmp_path / "c")
    assert not same_metrics(tmp_path / "a", tmp_path)
