"""Does a table of runs show what differs, keep every run, and sort as asked?"""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs.made_records import make_run, validated

from vctrain.errors import UsageError
from vctrain.runs.listing import runs_at
from vctrain.runs.status import status_of
from vctrain.runs.table import differing_settings, table_of, write_csv


@pytest.fixture
def three(tmp_path):
    make_run(tmp_path / "a", sets=["optim.lr=1e-3"], events=[validated(60, 10, 0.2)])
    make_run(tmp_path / "b", sets=["optim.lr=1e-2"], events=[validated(120, 20, 0.3)])
    make_run(tmp_path / "c", "failed", sets=["optim.lr=1e-1", "seed=4"], error="NumericsError: loss is nan")
    (tmp_path / "d" / "checkpoints").mkdir(parents=True)
    return [status_of(member) for member in runs_at([tmp_path])]


def names(table) -> list[str]:
    return [row["run"] for row in table.rows]


def test_what_differs_has_columns_and_every_run_a_row(three) -> None:
    table = table_of(three)
    assert table.differing == ("seed", "optim.lr")
    assert names(table) == ["a", "b", "c", "d"]
    assert [row["optim.lr"] for row in table.rows] == [1e-3, 1e-2, 1e-1, None]
    assert [row["state"] for row in table.rows] == ["done", "done", "failed", "damaged"]
    assert table.rows[2]["reason"] == "NumericsError: loss is nan"
    assert "run.json" in table.rows[3]["reason"]
    assert table.rows[1]["minutes"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("val_bps_overall", "bacd"),
        ("-val_bps_overall", "abcd"),
        ("optim.lr", "abcd"),
        ("lr", "abcd"),
        ("-lr", "cbad"),
        ("state", "dabc"),
    ],
)
def test_sorting_puts_the_best_first_and_empty_cells_last(sort, order, three) -> None:
    assert "".join(names(table_of(three, sort))) == order


def test_a_column_that_is_not_there_is_refused_with_the_nearest(three) -> None:
    with pytest.raises(UsageError, match="no such column") as caught:
        table_of(three, "val_bps_overal")
    assert caught.value.hint == "did you mean val_bps_overall?"


def test_the_csv_holds_all_columns_and_exact_figures(three, tmp_path) -> None:
    table = table_of(three)
    write_csv(tmp_path / "t.csv", table)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == table.columns
    assert [row["val_bps_overall"] for row in rows] == ["0.2", "0.3", "", ""]
    with pytest.raises(UsageError, match="exists"):
        write_csv(tmp_path / "t.csv", table)


def test_where_the_type_differs_its_own_settings_say_nothing_more() -> None:
    a = {"part": {"type": "x", "n": 1, "only_x": 2}}
    b = {"part": {"type": "y", "n": 1}}
    assert differing_settings([a, b]) == ("part.type",)
    assert differing_settings([a, b, {"part": {"type": "x", "n": 1, "only_x": 3}}]) == ("part.type", "part.only_x")
    assert differing_settings([a, {"part": None}]) == ("part.type",)


def test_what_follows_from_the_name_of_the_model_says_nothing_more() -> None:
    big, small = {"model": {"n": 9, "grid": 1}}, {"model": {"n": 2, "grid": 1}}
    assert differing_settings([big, small, small], ["big", "small", "small"]) == ("model",)
    other = {"model": {"n": 2, "grid": 7}}
    assert differing_settings([big, small, other], ["big", "small", "small"]) == ("model", "model.grid")
    assert differing_settings([big, small], [None, None]) == ("model.n",)
    assert differing_settings([big, {**small, "seed": 1}], ["big", "small"]) == ("model", "seed")


def test_the_name_of_the_model_is_that_of_the_settings(tmp_path) -> None:
    for name in ("twin", "twin_small"):
        make_run(tmp_path / name, sets=[f"model={name}"])
    table = table_of([status_of(member) for member in runs_at([tmp_path])])
    assert table.differing == ("model",)
    assert [row["model"] for row in table.rows] == ["twin", "twin_small"]


def test_what_a_run_measured_is_nobodys_choice() -> None:
    assert differing_settings([{"trainer": {"measured_step_seconds": s}} for s in (0.1, 0.2)]) == ()


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.lists(st.integers(0, 1), max_size=2))
SETTINGS = st.dictionaries(st.sampled_from("abc"), st.one_of(VALUES, st.dictionaries(st.sampled_from("de"), VALUES)))


@given(st.lists(SETTINGS, min_size=1, max_size=4))
def test_runs_of_the_same_settings_do_not_differ_and_others_do(drawn) -> None:
    assert differing_settings([drawn[0]] * 3) == ()
    if any(one != drawn[0] for one in drawn):
        assert differing_settings(drawn)
