"""Does the tutorial run from start to end, reach what it says, and are its page and notebook made from it?"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from readme.readme_commands import README

FOLDER = README.parent / "docs" / "tutorial"
SOURCE = FOLDER / "tutorial.py"
OUTPUTS: list[str] = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))
FIGURES = sorted(path.name for path in FOLDER.glob("*.png"))
_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?")


def without_digits(text: str) -> str:
    """What is printed on every machine."""
    return re.sub(r"[ -]+", " ", _NUMBER.sub("#", text))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An empty folder in which the script was run, and what it printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    place = folder / "work"
    place.mkdir()
    environment = {**os.environ, "MPLBACKEND": "Agg", "VCTRAIN_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, str(SOURCE)], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return place, done.stdout


@pytest.mark.slow
def test_it_prints_what_the_page_shows(ran: tuple[Path, str]) -> None:
    assert without_digits(ran[1]) == without_digits("".join(OUTPUTS))


@pytest.mark.slow
def test_the_twin_is_good_enough_for_what_is_asked_of_it(ran: tuple[Path, str]) -> None:
    place, said = ran
    (percent,) = re.findall(r"^(\d+) % of the oracle's", said, re.MULTILINE)
    assert int(percent) > 65
    (error,) = re.findall(r"orientation: median error ([\d.]+) degrees", said)
    assert float(error) < 4
    (right, of) = re.findall(r"simple or complex: (\d+) of (\d+) units", said)[0]
    assert int(of) == 24
    assert int(right) >= 22
    (before, after) = re.findall(r"(\d+) spikes/s before the grating, at most (\d+) after", said)[0]
    assert int(after) > 1.5 * int(before)
    with (place / "analyses" / "mei.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    beaten = [row for row in rows if float(row["over_reference"]) > 1.5 and row["exceeds"] == "True"]
    assert len(beaten) >= 22


@pytest.mark.slow
def test_it_leaves_the_files_it_names_and_figures_with_something_on_them(ran: tuple[Path, str]) -> None:
    import matplotlib.image

    place, _ = ran
    assert sorted(path.name for path in place.glob("*.png")) == FIGURES
    for name in FIGURES:
        assert matplotlib.image.imread(place / name).std() > 0.05, name
        assert matplotlib.image.imread(FOLDER / name).shape == matplotlib.image.imread(place / name).shape
    kept = ("runs/tutorial/checkpoints/best.ckpt", "report/report.html", "rates.npz", "analyses/tuning.csv")
    assert [path for path in kept if not (place / path).is_file()] == []


def test_page_and_notebook_are_made_from_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jupytext", reason="jupytext comes with the extra docs")
    monkeypatch.syspath_prepend(str(FOLDER))
    import make_page

    again = "out of date: python docs/tutorial/make_page.py"
    assert make_page.NOTEBOOK.read_text(encoding="utf-8") == make_page.as_notebook(), again
    assert make_page.PAGE.read_text(encoding="utf-8") == make_page.as_page(OUTPUTS), again
    code = [cell for cell in make_page.read().cells if cell.cell_type == "code"]
    assert len(code) == len(OUTPUTS)


def test_what_the_page_says_of_the_script_needs_no_notebook() -> None:
    """Code and figures of the page, without jupytext: each block of the script is on it, in order."""
    page = (FOLDER.parent / "tutorial.md").read_text(encoding="utf-8")
    cells = re.split(r"^# %%.*\n", SOURCE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    code = [cell.strip() for cell in cells if not cell.lstrip().startswith("# ")]
    assert re.findall(r"^```python\n(.*?)\n```", page, re.MULTILINE | re.DOTALL) == code
    assert re.findall(r"!\[\S+\]\(tutorial/(\S+)\)", page) == re.findall(r'savefig\("(\S+)"', SOURCE.read_text())
    assert sorted(re.findall(r"!\[\S+\]\(tutorial/(\S+)\)", page)) == FIGURES
