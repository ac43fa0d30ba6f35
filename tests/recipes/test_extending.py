"""Do the recipes of docs/extending.md work, followed to the letter on a copy of the source?"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from readme.readme_commands import smaller
from recipes.following import COPIED, PAGE, RECIPES, copy_of_the_source, follow, patched
from walks.walking import DOCS, Walker, files_of, lines_of

SIMULATE = "vctrain simulate recordings --sessions 2 --units 4 --minutes 1 --types gaborium --size 16"
APPLIED = """
import torch
from vctrain.config.datasets import load_dataset_configs
from vctrain.data.opening import open_sessions

plain, clipped = (open_sessions(load_dataset_configs(f"recordings/{name}.yaml"), 0)[0] for name in ("plain", "clipped"))
starts = range(plain.n_frames - 1)
before, after = (session.gather(starts, frames=1).behavior for session in (plain, clipped))
assert before.shape == after.shape and before.abs().max() > 0.25
assert torch.equal(after, before.clamp(-0.25, 0.25)) and not torch.equal(after, before)
print("applied")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return copy_of_the_source(folder)


def walker_on(root: Path) -> Walker:
    """Somebody in an empty folder, with the changed source."""
    folder = root.parent / "work"
    folder.mkdir()
    walker = Walker(folder, root / "src")
    found = walker.type("python -c 'import vctrain; print(vctrain.__file__)'").strip()
    assert Path(found) == root / "src" / "vctrain" / "__init__.py"
    return walker


def small(line: str) -> str:
    """A line of the page at a size that ends within seconds."""
    arguments = shlex.split(line)[1:]
    added = smaller(arguments)[len(arguments) :]
    # the model stays that of the recipe
    options = [pair for pair in zip(added[::2], added[1::2], strict=True) if not pair[1].startswith("model=")]
    return shlex.join(["vctrain", *arguments, *(word for pair in options for word in pair)])


def test_a_new_component_trains_from_its_settings(root: Path) -> None:
    assert follow(RECIPES[0], root) == {
        "src/vctrain/config/components/recurrent.py",
        "src/vctrain/models/leaky.py",
        "src/vctrain/models/components.py",
        "tests/models/made_heads.py",
    }
    walker = walker_on(root)
    _, train, inspect = lines_of(PAGE, RECIPES[0])
    walker.type(small(train))
    events = (walker.folder / "runs" / "leaky" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(events[-1])["event"] == "finished"
    parts = walker.type(inspect)
    assert re.search(r"^recurrent +leaky ", parts, re.MULTILINE)
    config = (walker.folder / "runs" / "leaky" / "config.yaml").read_text(encoding="utf-8")
    assert re.search(r"type: leaky", config)


@pytest.mark.slow
def test_a_new_component_passes_the_tests_that_the_recipe_runs(root: Path) -> None:
    follow(RECIPES[0], root)
    walker = walker_on(root)
    said = walker.type(f"cd {root} && python -m {lines_of(PAGE, RECIPES[0])[0]} -q -p no:cacheprovider")
    assert re.search(r"\d+ passed", said)


def test_a_new_transform_is_applied_to_a_session(root: Path) -> None:
    assert follow(RECIPES[1], root) == {"src/vctrain/config/transforms.py", "src/vctrain/data/pointwise.py"}
    walker = walker_on(root)
    walker.type(SIMULATE)
    config = files_of(PAGE, RECIPES[1])
    (shown,) = config.values()
    walker.write(config | {"recordings/plain.yaml": shown.replace("{clip: 0.25}", "{mul: 1.0}"), "applied.py": APPLIED})
    (inspect,) = lines_of(PAGE, RECIPES[1])
    assert "clip" in walker.type(inspect)
    assert walker.type("python applied.py").strip() == "applied"


def test_a_new_preset_resolves(root: Path) -> None:
    assert follow(RECIPES[2], root) == {"src/vctrain/presets/quick_look.yaml", "README.md"}
    walker = walker_on(root)
    show, train = lines_of(PAGE, RECIPES[2])
    assert "max_epochs: 4" in walker.type(show)
    settings = walker.asked(train)["settings"]
    assert settings["trainer"]["steps_per_epoch"] == 100
    assert settings["model"]["recurrent"] == {"type": "none"}
    assert not (walker.folder / "runs").exists()


def test_a_new_command_is_in_the_help_and_runs(root: Path) -> None:
    assert follow(RECIPES[3], root) == {"src/vctrain/commands/units.py", "src/vctrain/cli.py", "README.md"}
    walker = walker_on(root)
    assert re.search(r"^ +units +Count the units of a checkpoint", walker.type("vctrain --help"), re.MULTILINE)
    (explain,) = lines_of(PAGE, RECIPES[3])
    assert "Count the units of each session" in walker.type(explain)
    walker.type(SIMULATE)
    train = "vctrain train --preset gaborium --data recordings/dataset.yaml --run-dir runs/first"
    walker.type(f"{small(train)} --set model=twin_small")
    shown = "vctrain units runs/first"
    assert shown in (root / "README.md").read_text(encoding="utf-8")
    assert walker.asked(shown)["sessions"] == {"SimA_2024-01-01": 4, "SimB_2024-01-02": 4}
    assert re.search(r"^SimA_2024-01-01 +4$", walker.type(shown), re.MULTILINE)


@pytest.mark.slow
def test_all_recipes_together_pass_the_checks(root: Path) -> None:
    for recipe in RECIPES:
        follow(recipe, root)
    walker = walker_on(root)
    checks = "ruff check . && ruff format --check . && mypy && lint-imports"
    walker.type(f"cd {root} && {checks} && python -m pytest -q -p no:cacheprovider tests/test_docstrings.py")


def test_every_recipe_is_a_section_and_each_section_a_recipe() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(headings) == RECIPES
    assert all((DOCS.parent / name).exists() for name in COPIED)


@pytest.mark.parametrize("hunk", [" nowhere\n+new\n", " twice\n+new\n", "!what\n"])
def test_a_recipe_that_no_longer_fits_the_source_is_noticed(hunk: str) -> None:
    with pytest.raises(AssertionError):
        patched("twice\nonce\ntwice\n", hunk)
