"""Is CONTRIBUTING.md a page, and does it say what is so?"""

from __future__ import annotations

import re
import tomllib

import pytest
from readme.readme_commands import README
from recipes.following import RECIPES

ROOT = README.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ORDER = ["commands/train.py", "config/schema.py", "training/fit.py", "training/module.py", "models/twin.py"]


def test_it_is_one_page() -> None:
    assert len(TEXT.splitlines()) < 60
    assert len(TEXT.split()) < 600


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/extending.md", "docs/architecture.md"])
def test_the_reading_order_is_the_same_everywhere_and_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    places = [text.index(f"`{name}`") for name in ORDER]
    assert places == sorted(places)
    assert all((ROOT / "src" / "vctrain" / name).is_file() for name in ORDER)


def test_every_marker_of_a_test_is_named() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    markers = {line.partition(":")[0] for line in settings["markers"]}
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == markers
    assert all(f"not {marker}" in settings["addopts"] for marker in markers)


def test_every_recipe_is_linked() -> None:
    anchors = re.findall(r"docs/extending\.md#([\w-]+)", TEXT)
    assert anchors == [recipe.lower().replace(" ", "-") for recipe in RECIPES]
