"""Do rows of metrics read back exactly, also when columns appear later?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vctrain.runs.metrics_file import MetricsFile

_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(["step", "val_bps/A, B", 'x"y', "loss"]),
        st.none() | st.integers() | st.floats(allow_nan=False),
        min_size=1,
    ),
    min_size=1,
    max_size=6,
)


@given(_ROWS)
def test_rows_read_back(tmp_path_factory, rows):
    run_dir = tmp_path_factory.mktemp("run")
    for row in rows:
        MetricsFile(run_dir).append(row)
    read = MetricsFile(run_dir).rows()
    assert len(read) == len(rows)
    for got, given_row in zip(read, rows, strict=True):
        for name in got:
            value = given_row.get(name)
            assert (got[name] == "") if value is None else (type(value)(got[name]) == value)


def test_two_runs_with_the_same_figures_have_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        metrics = MetricsFile(tmp_path / name)
        metrics.append({"step": 1, "loss": 0.1})
        metrics.append({"step": 2, "loss": 0.2, "val": None})
    assert (tmp_path / "a" / "metrics.csv").read_bytes() == (tmp_path / "b" / "metrics.csv").read_bytes()
    assert (tmp_path / "a" / "metrics.csv").read_text() == "step,loss,val\n1,0.1,\n2,0.2,\n"
