"""How does the tutorial notebook become docs/tutorial.md and a notebook to download?

``python docs/tutorial/make_page.py`` makes both from tutorial.py and from what its cells printed and drew when it ran
last; with ``--run`` it runs it first (minutes).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext

FOLDER = Path(__file__).parent
SOURCE, NOTEBOOK, OUTPUTS = (FOLDER / name for name in ("tutorial.py", "tutorial.ipynb", "outputs.json"))
PAGE = FOLDER.parent / "tutorial.md"
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
INTRODUCTION = """
!!! note "This page is a notebook"

    [Download it for Jupyter](tutorial/tutorial.ipynb) or [as a plain script](tutorial/tutorial.py). What stands below
    the cells is what they printed in one run; times and last digits differ from machine to machine.
"""
_DRAWN = re.compile(r'\.savefig\("(\w+\.png)"')


def read() -> Any:
    """The notebook, from the script; without ids, which would be others each time."""
    notebook = jupytext.reads(SOURCE.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata.clear()
    notebook.metadata.update(KERNEL)
    notebook.nbformat, notebook.nbformat_minor = 4, 4
    for cell in notebook.cells:
        cell.pop("id", None)
    return notebook


def as_notebook() -> str:
    """The text of the notebook file."""
    return jupytext.writes(read(), fmt="ipynb").rstrip("\n") + "\n"


def as_page(outputs: list[str]) -> str:
    """The text of the page: every code cell is followed by its output and its figures."""
    parts: list[str] = []
    printed = iter(outputs)
    for cell in read().cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source.replace("](../", "]("))
        else:
            parts.append(f"```python\n{cell.source}\n```")
            if text := next(printed):
                parts.append(f"```text\n{text}```")
            parts += [f"![{name}](tutorial/{name})" for name in _DRAWN.findall(cell.source)]
        if len(parts) == 1:
            parts.append(INTRODUCTION.strip())
    return "\n\n".join(parts) + "\n"


def run() -> list[str]:
    """Run the cells in an empty folder, keep the figures; what each code cell printed."""
    os.environ["MPLBACKEND"] = "Agg"
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        for cell in read().cells:
            if cell.cell_type == "code":
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    exec(compile(cell.source, SOURCE.name, "exec"), names)
                outputs.append(said.getvalue())
                sys.stderr.write(said.getvalue())
                for name in _DRAWN.findall(cell.source):
                    shutil.copy(name, FOLDER / name)
    return outputs


if __name__ == "__main__":
    if "--run" in sys.argv:
        OUTPUTS.write_text(json.dumps(run(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    NOTEBOOK.write_text(as_notebook(), encoding="utf-8")
    PAGE.write_text(as_page(json.loads(OUTPUTS.read_text(encoding="utf-8"))), encoding="utf-8")
