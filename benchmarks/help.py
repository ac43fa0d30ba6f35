"""How long ``vctrain --help`` takes, against a bare Typer application started beside it.

python -m benchmarks.help
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

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


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print one JSON object: medians of alternating runs, and whether torch was imported."""
    ours, bare = [], []
    for _ in range(REPEATS):
        ours.append(_seconds([sys.executable, "-m", "vctrain", "--help"]))
        bare.append(_seconds([sys.executable, "-c", BARE, "--help"]))
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vctrain", "--help"], check=True, capture_output=True, text=True
    ).stderr
    result = {
        "benchmark": "help",
        "seconds": statistics.median(ours),
        "bare_typer_seconds": statistics.median(bare),
        "ratio": statistics.median(ours) / statistics.median(bare),
        "imports_torch": any(line.rstrip().endswith("| torch") for line in imported.splitlines()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
