"""Lines of characters that show how a quantity runs: right heights, right widths, and plain text where blocks fail."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vctrain import cli, console
from vctrain.sparklines import BLOCKS, PLAIN, rows, sparkline

Values = st.lists(st.floats(0, 1e3, allow_nan=False), min_size=1, max_size=300)


@given(values=Values, width=st.integers(1, 120), blocks=st.booleans())
def test_it_has_its_width_and_its_characters(values, width, blocks) -> None:
    line = sparkline(values, width, blocks)
    assert len(line) == width
    assert set(line) <= set((BLOCKS + "─") if blocks else (PLAIN + "-"))


@given(values=st.lists(st.floats(0, 1e3), min_size=2, max_size=96, unique=True))
def test_a_larger_value_is_never_drawn_lower(values) -> None:
    heights = [BLOCKS.index(mark) for mark in sparkline(values, len(values))]
    ordered = [height for _, height in sorted(zip(values, heights, strict=True))]
    assert ordered == sorted(ordered)
    assert (heights[values.index(min(values))], heights[values.index(max(values))]) == (0, len(BLOCKS) - 1)


def test_a_share_is_drawn_at_its_mean() -> None:
    assert sparkline([0, 0, 0, 8, 8, 8], 2) == "▁█"
    assert sparkline([0, 1], 4) == "▁▁██"


@pytest.mark.parametrize("columns", [80, 120])
def test_rows_fit_the_terminal(monkeypatch, columns) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    curves = {"lr_core": [0.0, 1e-3, 5.21e-13], "decay_readout_std": [10.0, 1.5]}
    found = rows(curves)
    assert [row[0] for row in found] == ["lr_core", "decay_readout_std"]
    assert found[1][2:] == ["1.5", "10"]
    assert len(found[0][1]) + len("decay_readout_std") + len("largest") + len("least") + 12 == columns


def dry_run(capsys: pytest.CaptureFixture[str], data: object, *more: str) -> str:
    chosen = ("data.batch_clips=8", "data.curriculum={}", "data.composition=equal")
    sets = [word for text in chosen for word in ("--set", text)]
    with pytest.raises(SystemExit) as leaving:
        cli.main(["train", "--preset", "gaborium", "--data", str(data), "--dry-run", *sets, *more])
    console.configure()
    assert leaving.value.code in (0, None)
    return capsys.readouterr().out


def test_a_dry_run_draws_rates_lambdas_and_the_curriculum(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    out = dry_run(capsys, tiny_data)
    assert "\x1b" not in out
    drawn = {line.split()[0]: line.split()[1:] for line in out.splitlines() if any(mark in line for mark in BLOCKS)}
    assert list(drawn) == ["lr_core", "lr_head", "curriculum_alpha", "readout_sparsity", "decay_readout_std"]
    assert drawn["curriculum_alpha"][1:] == ["0.5", "1"]
    assert drawn["curriculum_alpha"][0][-1] == "█"
    assert drawn["decay_readout_std"][1:] == ["1.5", "10"]
    assert "readouts.*.features" in out
    assert "core, decayed" in out


def test_json_holds_the_curves_and_nothing_drawn(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    out = dry_run(capsys, tiny_data, "--json")
    assert not set(out) & set(BLOCKS)
    plan = json.loads(out)
    curves = plan["curves"]
    assert {len(values) for values in curves.values()} == {240}
    assert (curves["step"][0], curves["step"][-1]) == (0, plan["steps"] - 1)
    assert max(curves["lr_head"]) == pytest.approx(2 * max(curves["lr_core"]))


def test_an_output_without_blocks_gets_plain_marks(tiny_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    dry_run(capsys, tiny_data)
    plain.flush()
    text = plain.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    (line,) = [line for line in text.splitlines() if line.startswith("curriculum_alpha  ")]
    assert set(line.split()[1]) <= set(PLAIN)
    assert "\\u" not in line
