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


@given(
    steps=st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True).map(sorted),
    until=st.integers(0, 50),
    validated=st.booleans(),
    torn=st.sampled_from(["", "51,0.", "5", '"4']),
)
def test_rows_of_steps_that_are_taken_again_go(tmp_path_factory, steps, until, validated, torn):
    """What stays is as if the run had stopped there, and what follows is appended to it."""
    runs = [tmp_path_factory.mktemp("run") for _ in range(2)]
    for step in steps:
        MetricsFile(runs[0]).append({"step": step, "loss": step / 7})
    kept = [step for step in steps if step < until or (step == until and validated)]
    with (runs[0] / "metrics.csv").open("a") as file:
        file.write(torn)
    assert MetricsFile(runs[0]).keep_until(until, validated=validated) == len(steps) - len(kept)
    for step in kept:
        MetricsFile(runs[1]).append({"step": step, "loss": step / 7})
    assert (runs[0] / "metrics.csv").exists() == bool(kept)
    for run in runs:
        MetricsFile(run).append({"step": 60, "loss": 0.1})
    contents = [(run / "metrics.csv").read_bytes() for run in runs]
    assert contents[0] == contents[1]


def test_half_a_header_is_no_file(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,lo")
    assert MetricsFile(tmp_path).keep_until(5, validated=True) == 0
    assert not (tmp_path / "metrics.csv").exists()
