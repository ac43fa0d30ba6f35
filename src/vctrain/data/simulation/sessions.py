"""How are simulated sessions made and written: `simulate`."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vctrain.config.simulation import SimulationConfig
from vctrain.data.simulation import files
from vctrain.data.simulation.oracle import ceilings
from vctrain.data.simulation.recording import SimulatedSession, draw_session, fire, record
from vctrain.data.simulation.units import LAGS
from vctrain.errors import FaultError, UsageError

SUBJECTS = ("SimA", "SimB")
FORMAT = 1


@dataclass(frozen=True)
class SimulationReport:
    """What was written: the folder, its dataset config, and ``simulation.json`` as an object."""

    out: Path
    dataset: Path
    facts: dict[str, Any]

    @property
    def oracle(self) -> float:
        """Bits per spike of the true rates: mean over sessions and types."""
        return float(self.facts["oracle"]["overall"])


def session_names(count: int) -> list[str]:
    """``Subject_YYYY-MM-DD``, subjects taking turns."""
    first = datetime.date(2024, 1, 1)
    return [f"{SUBJECTS[i % 2]}_{first + datetime.timedelta(days=i)}" for i in range(count)]


def simulate(
    out: Path, settings: SimulationConfig, on_progress: Callable[[str], None] | None = None
) -> SimulationReport:
    """Simulate ``settings.sessions`` sessions into the new or empty folder ``out``.

    Everything is made in a hidden folder beside ``out`` and renamed at the end: ``out`` is complete or as it was.
    The same settings give the same bytes whatever the number of threads. ``on_progress`` gets a line for each session.
    Raises UsageError if ``out`` holds anything, FaultError if it cannot be written.
    """
    out = Path(out)
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} exists and is not an empty folder; nothing was changed",
            hint="name a new folder, or remove this one first",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise FaultError(f"cannot write beside {out}: {error}", hint="choose a folder you may write to") from error
    try:
        facts = _simulate_into(workplace, settings, on_progress or (lambda text: None))
        workplace.chmod(0o777 & ~_umask())
        os.rename(workplace, out)
    except OSError as error:
        raise FaultError(f"cannot write {out}: {error}", hint="check free space and permissions") from error
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return SimulationReport(out, out / "dataset.yaml", facts)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _simulate_into(root: Path, settings: SimulationConfig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    names = session_names(settings.sessions)
    workers = min(settings.sessions, _cores(), 4)
    threads = torch.get_num_threads()
    # Sums of a matrix product depend on how many threads share it: one thread each, and sessions side by side instead.
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = [pool.submit(_one_session, root, index, name, settings) for index, name in enumerate(names)]
            entries = []
            try:
                for done, job in enumerate(jobs, start=1):
                    entries.append(job.result())
                    on_progress(f"simulated session {entries[-1]['session']} ({done} of {settings.sessions})")
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    finally:
        torch.set_num_threads(threads)
    files.write_yaml(
        root / "dataset.yaml",
        files.dataset_config(settings, names),
        "Simulated sessions; settings, ground truth and oracle are in simulation.json",
    )
    facts = {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "oracle": _overall(entries, settings),
        "sessions": entries,
    }
    files.write_json(root / "simulation.json", facts)
    return facts


def _overall(entries: list[dict[str, Any]], settings: SimulationConfig) -> dict[str, Any]:
    """Means over sessions, of each type and of all."""

    def mean(key: str, kinds: tuple[str, ...]) -> float | None:
        values = [entry["types"][kind][key] for entry in entries for kind in kinds]
        known = [value for value in values if value is not None]
        return round(float(np.mean(known)), 6) if known else None

    kinds = {
        kind: {"oracle": mean("oracle", (kind,)), "without_behavior": mean("without_behavior", (kind,))}
        for kind in settings.types
    }
    return {
        "overall": mean("oracle", settings.types),
        "without_behavior": mean("without_behavior", settings.types),
        "types": kinds,
    }


def _one_session(root: Path, index: int, name: str, settings: SimulationConfig) -> dict[str, Any]:
    session = draw_session(index, name, settings)
    scratch = root / f".{name}"
    scratch.mkdir()
    recordings = [record(session, kind, settings, scratch) for kind in settings.types]
    fire(session, recordings, settings)
    types = {}
    for recording in recordings:
        metadata = {"name": name, "rate_hz": float(settings.rate), "type": recording.kind, "simulated": True}
        files.write_dset(root / name / f"{recording.kind}.dset", recording.covariates, metadata)
        types[recording.kind] = ceilings(recording, settings.rate)
    shutil.rmtree(scratch)
    files.write_yaml(root / "sessions" / f"{name}.yaml", files.session_config(name, settings.units), "Simulated")
    return {"session": name} | _truth(session) | {"types": types}


def _truth(session: SimulatedSession) -> dict[str, Any]:
    """Ground truth of a session; lengths in retinal pixels, positions (y, x) from the patch centre."""
    units: dict[str, Any] = {}
    for field in dataclasses.fields(session.units):
        values = getattr(session.units, field.name)
        units[field.name] = (np.round(values, 6) if values.dtype == np.float64 else values).tolist()
    units["lag"] = [LAGS[index] for index in units["lag"]]
    error = session.calibration
    known = {"scale": error.scale, "shift": list(error.shift), "blur": error.blur}
    return {"calibration": known, "units": units}
