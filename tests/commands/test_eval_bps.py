"""Does `eval-bps` pass on what was asked, and show one result as an object and several as a list?"""

from __future__ import annotations

import json
import sys
import types

import pytest

from vctrain import cli, console


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for the evaluation, which keeps the calls."""
    seen: list[dict[str, object]] = []

    def evaluate(target, **options):
        seen.append({"target": target, **options})
        units = {"0": 0.5, "3": None, "7": 1.5}
        return {
            "checkpoint": f"{target}/best.ckpt",
            "split": options["split"],
            "bps_overall": 1.0,
            "oracle_bps_overall": None,
            "fraction_of_oracle": None,
            "sessions": {"s": {"bps": 1.0, "n_units": 3, "n_frames": 90, "units": units}},
            "notes": ["evaluated on other recordings"],
        }

    module = types.ModuleType("vctrain.evaluation.evaluate")
    module.evaluate = evaluate
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
    assert err == "evaluated on other recordings\n"
    expected = {"data": "d", "data_root": "r", "split": "all", "types": ["a", "b"], "devices": 2, "accelerator": "cpu"}
    assert calls == [{"target": "run", **expected}]


def test_several_checkpoints(calls, capsys):
    assert end_of("one", "two", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [result["checkpoint"] for result in shown["results"]] == ["one/best.ckpt", "two/best.ckpt"]
    assert calls[0]["split"] == "val"
    assert calls[0]["accelerator"] == "auto"


def test_the_table_counts_units_without_spikes(calls, capsys):
    assert end_of("run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "run/best.ckpt, split val",
        "session  units   frames     bps",
        "s        2 of 3      90  1.0000",
        "bps_overall 1.0000",
    ]
