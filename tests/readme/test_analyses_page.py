"""Does every command of the page on analyses work, in order, and does the page name every column?"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from readme.readme_commands import smaller, vctrain_commands

from vctrain import cli, console

PAGE = Path(__file__).parents[2] / "docs" / "analyses.md"


@pytest.mark.slow
def test_the_commands_run_in_order(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for arguments in vctrain_commands(PAGE.read_text(encoding="utf-8")):
        words = smaller(arguments)
        quick = {"mei": ["--steps", "3", "--references", "10"], "ablate-behavior": ["--replicates", "50"]}
        words += quick.get(words[1], []) if words[0] == "analyze" else []
        with pytest.raises(SystemExit) as leaving:
            cli.main(words)
        console.log_to(None)
        console.configure()
        assert leaving.value.code == 0, f"vctrain {' '.join(words)}\n{capsys.readouterr().err}"
    named = PAGE.read_text(encoding="utf-8")
    for path in (tmp_path / "results").glob("**/*.csv"):
        with path.open() as file:
            columns = next(csv.reader(file))
        for column in columns:
            stem = column.removesuffix("_model").removesuffix("_low").removesuffix("_high")
            known = [stem, f"sta_{stem.partition('_')[2]}", f"{'_'.join(stem.split('_')[:2])}_..."]
            assert any(f"`{name}`" in named for name in known), f"{path.name}: {column}"
