"""Simulated sessions and short runs on them, for the benchmarks of the training recipe."""

from __future__ import annotations

import argparse
import json
import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.measure import Measured, run_measured
from vctrain import presets
from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation.cache import cached_sessions


def sessions_of(settings: SimulationConfig) -> Path:
    """The folder of simulated sessions, in vctrain's cache: the same settings are simulated once."""
    return cached_sessions(settings)


def with_sessions(simulated: Path, names: Sequence[str], target: Path) -> Path:
    """A parent YAML at ``target`` with only the sessions ``names`` of a simulated folder."""
    parent = yaml.safe_load((simulated / "dataset.yaml").read_text())
    parent |= {
        "session_dir": str(simulated / "sessions"),
        "data_root": str(simulated),
        "sessions": list(names),
    }
    target.write_text(yaml.safe_dump(parent))
    return target


def quick_config(preset: str, target: Path) -> Path:
    """The ``quick`` overlay of a preset as a file for --config: with --data it does not apply by itself."""
    overlay = yaml.safe_load(presets.find(preset).read_text())["overlays"]["quick"]
    target.write_text(yaml.safe_dump(overlay))
    return target


def sets(settings: Mapping[str, Any]) -> list[str]:
    """``--set`` arguments; values in JSON, which is YAML."""
    return [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]


def events_of(run: Path, kind: str) -> list[dict[str, Any]]:
    """The events of one kind of a run, in order."""
    lines = (run / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def run_timed(arguments: Sequence[str]) -> tuple[Measured, float]:
    """`run_measured`, and the CPU seconds of the command, which other programs on the machine hardly change."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    measured = run_measured(list(arguments))
    return measured, round(spent() - before, 1)


def threads() -> int:
    """Threads that the runs compute on."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


@contextmanager
def workplace(options: argparse.Namespace) -> Iterator[Path]:
    """The folder of the runs: that of --keep, else one that is removed at the end."""
    if options.keep is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        options.keep.mkdir(parents=True)
        yield options.keep


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Options that all these benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sessions and a few steps: whether it runs, no figures"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sessions and of training")
    parser.add_argument("--keep", type=Path, help="new folder for the runs [default: removed at the end]")
    return parser
