"""Which run does a name mean: a run directory, a checkpoint in one, or ``auto``?

Torch-free.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.errors import ContractError, UsageError
from vctrain.runs.directory import read_run
from vctrain.runs.listing import RUNS
from vctrain.runs.lock import holder
from vctrain.runs.supervisor import launched_externally

AUTO = "auto"
CREATION_SECONDS = 30.0
"""How long the first of several processes may take to fill a run directory."""


def run_of(target: str) -> tuple[Path, Path | None]:
    """The run directory that ``target`` is or lies in, and the checkpoint if one was named.

    ContractError when there is none.
    """
    path = Path(target)
    if path.is_dir():
        _await_first_process(path)
        read_run(path)
        return path, None
    if not path.is_file():
        raise ContractError(f"{path}: no such run directory or checkpoint", hint="vctrain resume RUN, or auto")
    run = path.absolute().parent.parent
    if path.absolute().parent.name != "checkpoints" or not (run / "run.json").is_file():
        raise ContractError(
            f"{path} does not lie in the checkpoints folder of a run, so there is no run to go on with",
            hint=f"start a new one from its weights with vctrain finetune {path}",
        )
    return run, path


def _await_first_process(run: Path) -> None:
    """Of processes started together the first creates the run; another may see the directory before what is in it."""
    until = time.monotonic() + CREATION_SECONDS
    while launched_externally() and console.rank() and not (run / "run.json").exists() and time.monotonic() < until:
        time.sleep(0.1)


def newest_run(accept: Callable[[Path, dict[str, Any]], bool], runs: Path = RUNS) -> Path | None:
    """The run in ``runs`` that ``auto`` means: this SLURM job's own, else the unfinished one written last.

    Runs that another command is writing are left out, as are those that ``accept`` (directory and run.json) refuses.
    """
    job = os.environ.get("SLURM_JOB_ID")
    found: list[tuple[bool, str, Path]] = []
    for path in sorted(runs.glob("*/run.json")):
        try:
            run = read_run(path.parent)
        except ContractError as error:
            console.warn(f"passed over: {error.message}")
            continue
        own = job is not None and run.get("ids", {}).get("slurm_job_id") == job
        if (run["state"] == "done" and not own) or holder(path.parent) is not None or not accept(path.parent, run):
            continue
        found.append((own, str(run["updated"]), path.parent))
    return max(found)[2] if found else None


def none_found(target: str) -> UsageError:
    """What is said when ``target`` means no run."""
    return UsageError(
        f"{target}: no unfinished run in {RUNS}/" if target == AUTO else f"{target}: no such run",
        hint="name a run directory, or add --or-start and the options of vctrain train",
    )
