"""Does everything that the README tells people to type work, in the order in which it tells them?"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from readme.readme_commands import README, shell_lines, smaller, vctrain_commands

from vctrain import cli, console, errors, presets
from vctrain.config.layers import leaves
from vctrain.config.schema import Settings
from vctrain.config.simulation import SimulationConfig

TEXT = README.read_text(encoding="utf-8")
ROOT = README.parent
SET_UP = ("pip install -e . && vctrain train --preset gaborium", "pip install -e '.[dev]' && pytest")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory and cache, and this process's output settings as they were afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VCTRAIN_DATA_ROOT", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield tmp_path
    console.log_to(None)
    console.configure()


def call(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    console.log_to(None)
    return leaving.value.code


@pytest.fixture
def brought_along(elsewhere):
    """The files that the README takes for granted: a checkpoint of the earlier system with its configs, an NWB file."""
    pytest.importorskip("pynwb")
    from made_nwb import whole_file

    old = ROOT.parent / "shared" / "fixtures" / "legacy" / "d03_active_gaborium_resnet_convgrumod"
    if not old.is_dir():
        pytest.skip(f"no checkpoint of the earlier system in {old}")
    shutil.copy(next(old.glob("*.ckpt")), elsewhere / "old.ckpt")
    shutil.copy(old / "model_config.yaml", elsewhere / "old_model.yaml")
    shutil.copytree(old / "dataset_configs", elsewhere / "old_configs")
    whole_file(elsewhere / "recording.nwb")
    (grid,) = re.findall(r"^```yaml\n(# grid.yaml\n.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (elsewhere / "grid.yaml").write_text(grid)


def test_every_command_runs_in_order(elsewhere, brought_along, capsys):
    shown = vctrain_commands(TEXT)
    assert {arguments[0] for arguments in shown} == set(cli.VERBS), "the README shows each verb, and no other"
    for arguments in shown:
        code = call(smaller(arguments))
        said = capsys.readouterr()
        assert code == 0, f"vctrain {shlex.join(arguments)}\n{said.err}"
        if "--json" in arguments:
            assert json.loads(said.out)["ok"] is True
    run = elsewhere / "runs" / "first"
    named = set(re.findall(r"`(\w+\.(?:yaml|ckpt|csv|jsonl|log|json))`", _section("## Start", "## Simulate")))
    assert named == {path.name for path in run.iterdir() if path.is_file()} | {"last.ckpt"}
    assert {path.name for path in (run / "checkpoints").iterdir()} >= {"best.ckpt", "last.ckpt"}


def test_a_command_that_does_not_exist_would_be_noticed(elsewhere, capsys):
    for wrong in (["train", "--presett", "gaborium"], ["eval", "runs/first"], ["train", "--preset", "gaborum"]):
        assert call(smaller(wrong)) == errors.UsageError.code
        capsys.readouterr()


def test_set_up_is_two_commands_that_the_package_supports():
    lines = shell_lines(TEXT)
    for command in SET_UP:
        assert command in [line.replace('"', "'") for line in lines]
    assert [line for line in lines if "pip" in line.split()] == list(SET_UP)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "dev" in project["optional-dependencies"]
    assert project["scripts"]["vctrain"] == "vctrain.cli:main"
    least = project["requires-python"].removeprefix(">=")
    assert f"Python {least} or newer" in TEXT


def test_default_sizes_are_those_the_readme_names():
    default = SimulationConfig()
    assert default.sessions == 4
    assert f"({default.units} units and {default.minutes:g} minutes each" in TEXT


def test_presets_and_exit_codes_are_all_there():
    table = re.findall(r"^\| (`.+?`) \| ", _section("## Presets", "## Fine-tune"), re.MULTILINE)
    assert {name for cell in table for name in re.findall(r"`(\w+)`", cell)} == set(presets.names())
    codes = {int(code) for code in re.findall(r"^\| (\d+) \| ", _section("## In scripts", "## More"), re.MULTILINE)}
    assert codes == set(errors.BY_CODE) | {0, cli.INTERRUPTED, cli.TERMINATED}


@pytest.mark.parametrize(
    "page", [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), f"{page.name} links to {target}"
        if heading:
            assert heading in _anchors(linked), f"{page.name} links to {target}"


def test_every_setting_is_in_the_table():
    table = (ROOT / "docs" / "training.md").read_text(encoding="utf-8").partition("\n## Settings")[2]
    named = set(re.findall(r"`([\w.]+)`", table))
    for path, _ in leaves(Settings().model_dump(mode="json")):
        part, _, key = path.rpartition(".")
        if path != "preset" and part.partition(".")[0] not in ("model", "simulation"):
            assert path in named or key in named, f"docs/training.md does not name {path}"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _section(start: str, end: str) -> str:
    return TEXT[TEXT.index(f"\n{start}") : TEXT.index(f"\n{end}")]
