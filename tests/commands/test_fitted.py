"""Do tables fit the terminal, and stay the columns that are worth most?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vctrain.commands.fitted import _BETWEEN, Column, fitting

NAMES = st.text("abc.", min_size=1, max_size=12)
COLUMNS = st.lists(
    st.builds(Column, NAMES, st.tuples(st.text("xyz", max_size=30), st.text("xyz", max_size=30)), st.integers(1, 9)),
    min_size=1,
    max_size=8,
)


@given(COLUMNS, st.integers(10, 200))
def test_what_is_left_fits_or_is_worth_keeping(columns, characters) -> None:
    kept, gone = fitting(columns, characters)
    width = sum(column.width for column in kept) + _BETWEEN * (len(kept) - 1) + 2
    assert width <= characters or all(column.worth == 9 for column in kept)
    assert len(kept) + len(gone) == len(columns)
    if gone and any(column.worth < 9 for column in kept):
        least = min(column.worth for column in kept)
        assert sorted(column.worth for column in columns)[: len(gone)] <= [least] * len(gone)


@given(COLUMNS)
def test_without_a_terminal_all_is_shown_as_it_is(columns) -> None:
    assert fitting(columns, None) == (columns, [])


def test_headings_are_shortened_before_a_column_goes_where_that_tells_them_apart() -> None:
    columns = [Column(name, ("1",), 7) for name in ("run", "optim.lr", "a.type", "b.type")]
    kept, gone = fitting(columns, 30)
    assert [column.name for column in kept] == ["run", "lr", "a.type", "b.type"]
    assert gone == []
    assert [column.name for column in fitting(columns, 100)[0]] == ["run", "optim.lr", "a.type", "b.type"]
