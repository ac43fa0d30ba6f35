"""How long help, status, table, presets list and completion take, against a bare Typer application beside them.

python -m benchmarks.help
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vctrain.config.resolve import resolve
from vctrain.runs.directory import append_event, create_run_dir, update_run

BARE = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str = "you") -> None: ...
@app.command()
def bye(name: str = "you") -> None: ...
app()
"""
REPEATS = 7
RUNS, VALIDATIONS = 10, 100
COMMANDS: dict[str, list[str] | str] = {
    "help": ["--help"],
    "status": ["status"],
    "table": ["table", "runs"],
    "presets list": ["presets", "list"],
    "completion of a preset": "vctrain train --preset gab",
    "completion of a setting": "vctrain train --set optim.weight",
    "completion of a run": "vctrain resume run",
}
"""Arguments of a command, or the line that bash completes."""


def _called(arguments: list[str] | str) -> tuple[list[str], dict[str, str]]:
    """The command, and what is in its environment."""
    if not isinstance(arguments, str):
        return [sys.executable, "-m", "vctrain", *arguments], {}
    script = "import sys; sys.argv = ['vctrain']; from vctrain.cli import main; main()"
    words = str(len(arguments.split()) - 1)
    asked = {"_VCTRAIN_COMPLETE": "complete_bash", "COMP_WORDS": arguments, "COMP_CWORD": words}
    return [sys.executable, "-c", script], asked


def _seconds(command: list[str], folder: Path, asked: dict[str, str] | None = None) -> float:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **(asked or {})}
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    return time.perf_counter() - started


def _make_runs(folder: Path) -> None:
    """Runs with as many events as a day of training leaves."""
    for number in range(RUNS):
        resolved = resolve("gaborium", [], [f"seed={number}"])
        run = create_run_dir(folder / "runs" / f"run-{number}", resolved.settings, resolved.provenance, ["benchmark"])
        for epoch in range(VALIDATIONS):
            scores = {f"val_bps/session-{session}": 0.1 for session in range(20)}
            row = {"step": 512 * (epoch + 1), "epoch": epoch, "val_bps_overall": 0.1 + epoch * 1e-3, **scores}
            append_event(run, "validated", seconds=60.0 * epoch, **row)
        update_run(run, state="done", step=512 * VALIDATIONS)


def main() -> None:
    """Print one JSON object: medians of alternating runs, and whether torch was imported."""
    ours: dict[str, list[float]] = {name: [] for name in COMMANDS}
    bare = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _make_runs(folder)
        for _ in range(REPEATS):
            for name, arguments in COMMANDS.items():
                command, asked = _called(arguments)
                ours[name].append(_seconds(command, folder, asked))
            bare.append(_seconds([sys.executable, "-c", BARE, "--help"], folder))
        torch = {name: _imports_torch(arguments, folder) for name, arguments in COMMANDS.items()}
    beside = statistics.median(bare)
    figures = {
        name: {
            "seconds": statistics.median(seconds),
            "ratio": statistics.median(seconds) / beside,
            "imports_torch": torch[name],
        }
        for name, seconds in ours.items()
    }
    sizes = {"runs": RUNS, "validations": VALIDATIONS}
    print(json.dumps({"benchmark": "help", "bare_typer_seconds": beside, **sizes, **figures}))


def _imports_torch(arguments: list[str] | str, folder: Path) -> bool:
    (python, *rest), asked = _called(arguments)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **asked}
    command = [python, "-X", "importtime", *rest]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=environment)
    return any(line.rstrip().endswith("| torch") for line in done.stderr.splitlines())


if __name__ == "__main__":
    main()
