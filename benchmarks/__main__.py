"""One entry point of all benchmarks: ``python -m benchmarks [NAMES...] [--smoke] [--out FILE]``; ``list`` names them.

Each runs in a process of its own and prints one JSON object; all of them together are written to FILE. What a benchmark
takes beyond ``--smoke`` is given to it alone: ``python -m benchmarks.NAME --help``. Exits 1 when one fails; with
``--smoke`` a benchmark fails on a broken ratio, never on an absolute time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BENCHMARKS = {
    "streaming": "streaming twin against windows: steps, evaluation, FLOPs, operators, saved activations, bf16",
    "gpu": "training on a GPU: frames a second, use, kernels, waits, against windows (needs one)",
    "legacy_windows": "old models: shared work and live taps against every window by itself",
    "learning": "what is learned in a given time, from clips of several lengths and from windows",
    "gather": "gathering a batch against a slice a sample and default_collate",
    "processes": "two processes of one thread against one of two",
    "sampling": "drawing the clips of a step, from 10^5 to 10^9 frames",
    "opening": "from the imports to the first batch of many long sessions",
    "memory": "memory of training on longer recordings",
    "simulate": "simulating sessions: seconds and memory",
    "help": "vctrain --help against a bare Typer application",
    "allocator": "a step with and without keeping freed memory",
    "cached_features": "what finetune --cache-features saves",
    "survival_overhead": "what being able to stop and resume costs a step",
    "kills": "runs that are killed and resumed are the same runs",
    "first_run": "the first README command",
    "ablations": "curriculum, group lasso, clamps and balance do what they say",
    "planted_features": "group lasso finds the features that units read",
    "behaviour_only": "units that follow behaviour alone",
    "ceilings": "bias and spread of CC_norm and FEVE",
    "fifth_session": "a session joins a finished twin",
    "flicker_oracle": "the PSTH oracle on recorded ganglion cells (needs their folder)",
    "retina": "the checkerboard preset on recorded retina (needs its dataset config)",
    "retina_linear": "a linear-nonlinear model on the same frames (needs its dataset config)",
}
"""What each measures."""
SMOKE = ("streaming",)
"""Those of `--smoke`: seconds long, and failing on a broken ratio."""
NOT_EVERYWHERE = ("flicker_oracle", "gpu", "retina", "retina_linear")
"""Those that need recordings or a GPU run when they are named."""


def run(name: str, smoke: bool) -> tuple[int, list[dict[str, Any]]]:
    """Exit status, and the JSON objects among the lines that the benchmark printed."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *(["--smoke"] if smoke else [])]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    objects = [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")]
    return finished.returncode, objects


def rows(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of the numbers in ``figures``."""
    for key, value in figures.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from rows(value, f"{name}.")
        elif isinstance(value, list) and all(isinstance(x, int | float) for x in value):
            yield name, " ".join(f"{x:.4g}" for x in value)
        elif isinstance(value, float):
            yield name, f"{value:.4g}"
        elif isinstance(value, int | str) and not isinstance(value, bool):
            yield name, str(value)


def main() -> None:
    """Run what is asked for, print tables, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks, or: list; none: all that need no recordings")
    parser.add_argument("--smoke", action="store_true", help=f"seconds-long versions of: {', '.join(SMOKE)}")
    parser.add_argument("--out", type=Path, help="write all results to this file as JSON")
    options = parser.parse_args()
    if options.names == ["list"]:
        for name, what in BENCHMARKS.items():
            print(f"{name:20}{what}")
        return
    known = SMOKE if options.smoke else tuple(BENCHMARKS)
    names = options.names or [name for name in known if name not in NOT_EVERYWHERE]
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"{unknown[0]} is not one of {', '.join(known)}")
    results, failed = {}, []
    for name in names:
        status, results[name] = run(name, options.smoke)
        print(f"\n{name}: {'ok' if status == 0 else f'failed with {status}'}")
        for figures in results[name]:
            for label, value in rows(figures):
                print(f"  {label:45}{value}")
        failed += [name] if status else []
    text = json.dumps(results)
    if options.out:
        options.out.write_text(text + "\n")
    else:
        print(text)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
