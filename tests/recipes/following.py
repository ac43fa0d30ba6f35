"""How is a recipe of docs/extending.md followed: which files does it make, which lines does it change?"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from walks.walking import DOCS, files_of, section

PAGE = DOCS / "extending.md"
RECIPES = ("A component", "A transform", "A preset", "A command")
_DIFF = re.compile(r"^```diff\n--- (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COPIED = ("src", "tests", "benchmarks", "docs", "pyproject.toml", "README.md", "mkdocs.yml")


def patched(text: str, hunks: str) -> str:
    """``text`` after ``hunks``, which ``@@`` divides: lines with ``-`` go, those with ``+`` come, others stay.

    What a hunk takes for granted must be in the text, line by line, and only once.

    >>> patched("a\\nb\\nc\\n", " a\\n+new\\n@@\\n-c\\n+C\\n")
    'a\\nnew\\nb\\nC\\n'
    """
    for hunk in re.split(r"^@@\n", hunks, flags=re.MULTILINE):
        lines = hunk.splitlines()
        assert all(line[:1] in (" ", "-", "+", "") for line in lines), f"no line of a diff: {lines}"
        before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
        after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
        found = f"\n{text}".count(f"\n{before}")
        assert found == 1, f"{found} times in the file:\n{before}"
        text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
    return text


def copy_of_the_source(folder: Path) -> Path:
    """A copy of the repository's files in ``folder``."""
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        source = DOCS.parent / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=kept)
        else:
            shutil.copy(source, folder / name)
    return folder


def follow(recipe: str, root: Path) -> set[str]:
    """Do what the section ``recipe`` says to the source at ``root``; the paths of the source that it touched."""
    files = {name: body for name, body in files_of(PAGE, recipe).items() if name.startswith("src/")}
    for name, body in files.items():
        assert not (root / name).exists(), f"{name} is there already"
        (root / name).write_text(body, encoding="utf-8")
    changed = _DIFF.findall(section(PAGE, recipe))
    for name, hunks in changed:
        path = root / name
        path.write_text(patched(path.read_text(encoding="utf-8"), hunks), encoding="utf-8")
    return set(files) | {name for name, _ in changed}
