"""Do the commands of docs/lab-life.md work in the order in which it has them?"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from readme.readme_commands import SMALLER, commands, smaller

from vctrain import cli, console
from vctrain.config.sweep import SweepConfig

PAGE = Path(__file__).parents[2] / "docs" / "lab-life.md"
TEXT = PAGE.read_text(encoding="utf-8")
_YAML = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def small(text: str) -> str:
    """The same sweep of runs that end within seconds."""
    content: dict[str, Any] = yaml.safe_load(text)
    varied = {*content["grid"], *(path for point in content["points"] for path in point)}
    less = {path: yaml.safe_load(value) for path, value in SMALLER["train"].items() if path not in varied}
    content["set"] |= {path: value for path, value in less.items() if not path.startswith("simulation.")}
    return yaml.safe_dump(content)


@pytest.mark.slow
def test_every_command_runs_in_order(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for name, text in _YAML.findall(TEXT):
        Path(name).write_text(small(text), encoding="utf-8")
    for words in commands(TEXT):
        if words[0] in ("bash", "sbatch"):
            # trained for real in the slow test of sweeps
            assert subprocess.run(["bash", "-n", words[1]], check=False).returncode == 0
            continue
        with pytest.raises(SystemExit) as leaving:
            cli.main(smaller(words[1:]))
        console.log_to(None)
        console.configure()
        said = capsys.readouterr()
        assert leaving.value.code == 0, f"{shlex.join(words)}\n{said.err}"
        if "--json" in words:
            assert json.loads(said.out)["ok"] is True
    assert "metrics.csv the same digits as runs/first" in said.out
    listed = {path.name for path in Path("sweeps/lr").iterdir()}
    assert {"sweep.json", "sweep.sh", "sweep.sbatch", "000.yaml", "009.yaml"} <= listed
    assert "low,high" in Path("runs.csv").read_text(encoding="utf-8").splitlines()[0]


def test_states_and_keys_are_all_there() -> None:
    from vctrain.runs.status import STARTING, UNDER_WAY

    table = TEXT[TEXT.index("| state |") : TEXT.index("* *left*")]
    named = set(re.findall(r"^\| `([\w ]+)` \|", table, re.MULTILINE))
    assert named == {*UNDER_WAY, *STARTING, "done", "lost", "damaged", "not started"} - {"created"}
    keys = TEXT[TEXT.index("Keys of the file") :]
    assert all(f"`{name}`" in keys for name in SweepConfig.model_fields)
    assert get_args(SweepConfig.model_fields["verb"].annotation) == ("train",)
