"""Does what the pages of docs/ tell people to type work, after what the README told them?"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from readme.readme_commands import shell_lines, smaller, snippets

from vctrain import cli, console

DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = {
    "analyses.md": "tests/readme/test_analyses_page.py",
    "lab-life.md": "tests/readme/test_lab_life.py",
    "clusters.md": "tests/contracts/test_slurm.py",
    "extending.md": "tests/recipes/test_extending.py",
    "making-sessions.md": "tests/walks/test_walk_own_data.py",
    "migration.md": "tests/readme/test_migration_page.py",
    "old-checkpoints.md": "tests/walks/test_walk_old_checkpoint.py",
    "tutorial.md": "tests/readme/test_tutorial.py",
    "data-format.md": "tests/walks/test_walk_own_data.py",
}
"""Pages whose commands need a cluster, or files that only their own tests make."""
PAGES = [path.name for path in sorted(DOCS.glob("*.md")) if path.name not in ELSEWHERE]
_SHELL = set("$|;<>[]")


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def typed(page: str) -> list[list[str]]:
    """The vctrain commands of a page that are whole in one line."""
    found = []
    for line in shell_lines(text_of(page)):
        words = shlex.split(line)
        if words[0] == "vctrain" and not _SHELL & set(line):
            found.append(words[1:])
    return found


def call(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    console.log_to(None)
    return leaving.value.code


@pytest.fixture(scope="module")
def after_readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings and two runs, as the README makes them."""
    folder = tmp_path_factory.mktemp("docs") / "work"
    folder.mkdir()
    types = "gaborium,backimage"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("VCTRAIN_CACHE", str(folder.parent / "cache"))
        patch.setattr(sys, "excepthook", sys.excepthook)
        assert call(smaller(["simulate", "recordings", "--types", types, "--size", "32"])) == 0
        for seed, run in enumerate(("first", "second")):
            train = ["train", "--preset", "gaborium", "--data", "recordings/dataset.yaml", "--run-dir", f"runs/{run}"]
            assert call(smaller([*train, "--seed", str(seed)])) == 0
    console.configure()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if typed(page) or snippets(text_of(page))])
def test_commands_and_snippets_of_a_page_run(
    page: str, after_readme: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(after_readme, folder)
    made = {Path(words[words.index("--run-dir") + 1]) for words in typed(page) if "--run-dir" in words}
    for run in made:
        shutil.rmtree(folder / run, ignore_errors=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VCTRAIN_CACHE", str(after_readme.parent / "cache"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    for words in typed(page):
        code = call(smaller(words))
        said = capsys.readouterr()
        assert code == 0, f"{page}: vctrain {shlex.join(words)}\n{said.err}"
    names: dict[str, object] = {}
    for snippet in snippets(text_of(page)):
        exec(compile(snippet, page, "exec"), names)
    console.configure()


def test_pages_that_are_left_out_and_their_tests_are_there() -> None:
    assert set(ELSEWHERE) <= {path.name for path in DOCS.glob("*.md")}
    assert all((DOCS.parent / tests).exists() for tests in ELSEWHERE.values())


def test_messages_of_troubleshooting_are_those_of_the_program() -> None:
    """Every quoted piece of a message stands in the source, as far as it is text of its own."""
    source = " ".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "src").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        cell for row in re.findall(r"^\| (.*?) \| ", text, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)
    ]
    assert len(quoted) > 20
    pieces = [piece.strip() for message in quoted for piece in message.split("...")]
    missing = [piece for piece in pieces if piece.count(" ") and piece not in joined]
    assert missing == []
