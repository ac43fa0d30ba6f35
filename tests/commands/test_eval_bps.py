"""Does `eval-bps` pass on what was asked, and show one result as an object and several as a list?"""

from __future__ import annotations

import dataclasses
import json
import sys
import types

import pytest

from vctrain import cli, console


@dataclasses.dataclass(frozen=True)
class Question:
    """What the command asks, in a stand-in that takes any name."""

    data: str | None
    data_root: str | None
    split: str
    types: tuple[str, ...] | None
    null: str
    devices: int
    accelerator: str
    rescale: bool
    ceilings: bool
    fresh: bool


SESSION = {
    "subject": "s",
    "bps": 1.0,
    "n_units": 3,
    "n_units_without_spikes": 1,
    "n_frames": 90,
    "n_spikes": 12,
    "interval": [0.5, 1.5],
    "units": {"0": 0.5, "3": None, "7": 1.5},
    "unit_frames": {"0": 90, "3": 90, "7": 80},
    "unit_spikes": {"0": 5, "3": 0, "7": 7},
    "unit_intervals": {"0": [0.25, 0.75], "3": None, "7": [1.0, 2.0]},
}
MEANS = {"cc_norm": 0.5, "cc_max": 0.5, "cc_abs": 0.5, "feve": 0.5, "single_trial": 0.5, "bps": 0.5}
OF_TYPE = {
    "n_repeats": 40,
    "n_bins": 60,
    "n_units_with_value": 2,
    "mean": {**MEANS, "psth_oracle_bps": None},
    "units": {"0": {}, "3": {}, "7": {}},
}
CEILINGS = {"overall": MEANS, "sessions": {"s": {"fixrsvp": OF_TYPE}}}
PAIRED = {
    "difference": 0.1, "interval": [0.05, 0.15], "p_bootstrap": 0.001, "p_wilcoxon": 0.02, "n_units": 2,
    "n_units_better": 2,
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for the evaluation, which keeps the calls."""
    seen: list[dict[str, object]] = []

    def evaluate_all(targets, question, **options):
        seen.append({"targets": list(targets), **dataclasses.asdict(question), **options})
        results = [
            {
                "checkpoint": f"{target}/best.ckpt",
                "split": question.split,
                "bps_overall": 1.0,
                "bps_overall_interval": [0.75, 1.25],
                "bps_over_units": 1.0,
                "bps_overall_clamped": 1.0,
                "n_units": 3,
                "n_frames": 90,
                "n_spikes": 12,
                "oracle_bps_overall": None,
                "fraction_of_oracle": None,
                "sessions": {"s": SESSION},
                "subjects": {"s": {"bps": 1.0, "sessions": ["s"], "n_units": 3}},
                "types": {
                    "gaborium": {
                        "bps_overall": 1.0, "fraction_of_oracle": 0.5, "n_frames": 90, "n_spikes": 12,
                        "sessions": {"s": 1.0},
                    }
                },
                "notes": ["evaluated on other recordings"],
                "reused": ["eval/sums-1.npz"] if not question.fresh else [],
                **({"ceilings": CEILINGS} if question.ceilings else {}),
            }
            for target in targets
        ]  # fmt: skip
        if options["compare"]:
            for result in results[1:]:
                result["paired"] = PAIRED
        return results

    module = types.ModuleType("vctrain.evaluation.evaluate")
    module.evaluate_all, module.Question = evaluate_all, Question
    monkeypatch.setitem(sys.modules, "vctrain.evaluation.evaluate", module)
    monkeypatch.setenv(console.SETTINGS, "")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield seen
    console.configure()


def end_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["eval-bps", *arguments])
    return int(caught.value.code or 0)


def test_one_checkpoint(calls, capsys):
    options = ["--data", "d", "--data-root", "r", "--split", "all", "--types", "a,b", "--devices", "2"]
    assert end_of("run", *options, "--accelerator", "cpu", "--json") == 0
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert (shown["ok"], shown["command"], shown["split"]) == (True, "eval-bps", "all")
    assert shown["sessions"]["s"]["units"]["3"] is None
    assert err == "evaluated on other recordings\nreused eval/sums-1.npz; --fresh computes anew\n"
    expected = {"data": "d", "data_root": "r", "split": "all", "types": ("a", "b"), "null": "evaluated", "devices": 2}
    expected |= {"accelerator": "cpu", "rescale": False, "ceilings": False, "fresh": False}
    assert calls == [{"targets": ["run"], **expected, "compare": False, "replicates": 2000}]


def test_ceilings_are_a_table_of_means(calls, capsys):
    assert end_of("run", "--ceilings", "--rescale", "--fresh") == 0
    out, err = capsys.readouterr()
    assert (calls[0]["ceilings"], calls[0]["rescale"], calls[0]["fresh"]) == (True, True, True)
    assert "reused" not in err
    table = [line.split() for line in out.splitlines()]
    assert ["s", "fixrsvp", "40", "60", "2", "of", "3", *["0.5000"] * 6, "-"] in table
    assert "cc_norm 0.5000, feve 0.5000" in out


def test_several_checkpoints(calls, capsys):
    assert end_of("one", "two", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [result["checkpoint"] for result in shown["results"]] == ["one/best.ckpt", "two/best.ckpt"]
    assert calls[0]["split"] == "val"
    assert calls[0]["accelerator"] == "auto"


OVERALL = [
    "bps_overall 1.0000 [0.7500, 1.2500]",
    "3 units, 90 frames, 12 spikes; over units 1.0000, negative values as 0 1.0000",
]


@pytest.mark.parametrize(
    ("by", "table"),
    [
        (
            "session",
            [
                "session  units   frames  spikes     bps  95 %",
                "s        2 of 3      90      12  1.0000  [0.5000, 1.5000]",
            ],
        ),
        (
            "unit",
            [
                "session  cid  frames  spikes     bps  95 %",
                "s          0      90       5  0.5000  [0.2500, 0.7500]",
                "s          3      90       0       -",
                "s          7      80       7  1.5000  [1.0000, 2.0000]",
            ],
        ),
        ("subject", ["subject  sessions  units     bps", "s               1      3  1.0000"]),
        (
            "type",
            [
                "type      sessions  frames  spikes     bps  of oracle",
                "gaborium         1      90      12  1.0000     50.0 %",
            ],
        ),
    ],
)  # fmt: skip
def test_the_table_has_a_row_for_what_was_asked(calls, capsys, by, table):
    assert end_of("run", "--by", by) == 0
    assert capsys.readouterr().out.splitlines() == ["run/best.ckpt, split val", *table, *OVERALL]


def test_a_comparison_names_its_baseline(calls, capsys):
    assert end_of("one", "two", "--paired") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "minus one/best.ckpt: 0.1000 [0.0500, 0.1500], 2 of 2 units better; "
        "p 0.001 over trials, 0.02 over units (Wilcoxon)"
    )
    assert end_of("one", "--paired") == 2
    assert end_of("one", "two", "--paired", "--replicates", "0") == 2


def test_results_that_are_there_are_not_replaced(calls, capsys, tmp_path):
    assert end_of("run", "--out", str(tmp_path / "out")) == 0
    assert (
        (tmp_path / "out" / "units.csv").read_text().splitlines()[1].startswith("run/best.ckpt,val,s,s,0,0.5,0.25,0.75")
    )
    assert end_of("run", "--out", str(tmp_path / "out")) == 2
    assert len(calls) == 1
