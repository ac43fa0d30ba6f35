"""What did an analysis find, and how is it kept: arrays as .npz, one row a unit as .csv, pictures as .png?"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.errors import UsageError
from vctrain.evaluation.analyses.chosen import Chosen
from vctrain.evaluation.evaluate import digest
from vctrain.runs.files import write_new

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Findings:
    """Figures of each unit by session and cid, overall figures, and the arrays of each session, whose units are in the
    order of its ``cids``."""

    name: str
    chosen: Chosen
    settings: Mapping[str, Any]
    """What was asked, as far as the figures depend on it."""
    units: Mapping[str, Mapping[int, Mapping[str, Any]]]
    overall: Mapping[str, Any]
    arrays: Mapping[str, Arrays]
    notes: tuple[str, ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """Everything but the arrays, in values that JSON holds."""
        question, checkpoint = self.chosen.question, self.chosen.checkpoint
        return {
            "checkpoint": str(checkpoint.path),
            "checkpoint_sha256": digest(checkpoint.path),
            "split": question.split,
            "settings": dict(self.settings),
            "overall": dict(self.overall),
            "sessions": {
                name: {"n_units": len(units), "units": {str(cid): dict(row) for cid, row in units.items()}}
                for name, units in self.units.items()
            },
            "notes": [*self.chosen.notes, *self.notes],
        }


def check_folder(folder: Path, name: str) -> None:
    """UsageError, before anything is computed, if what the analysis ``name`` writes would replace something."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; nothing was changed", hint="choose another --out")
    found = [
        path for pattern in (f"{name}.npz", f"{name}.csv", f"{name}-*.png") for path in sorted(folder.glob(pattern))
    ]
    if found:
        raise UsageError(f"{found[0]} exists; nothing was changed", hint="choose another --out")


def write(findings: Findings, folder: Path, draw: Callable[[str, Findings], Mapping[str, Any]]) -> list[Path]:
    """Write NAME.npz (keyed ``SESSION/array``), NAME.csv and NAME-SESSION....png into ``folder``; returns the files.

    ``draw`` gives the figures of a session by what their file's name ends in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{findings.name}.npz", folder / f"{findings.name}.csv"]
    write_new(written[0], lambda part: _write_npz(part, findings.arrays))
    write_new(written[1], lambda part: _write_csv(part, findings))
    for session in findings.units:
        for ending, figure in draw(session, findings).items():
            path = folder / f"{findings.name}-{session}{ending}.png"
            write_new(path, lambda part, figure=figure: figure.savefig(part, dpi=150, format="png"))  # type: ignore[misc]
            written.append(path)
    return written


def known(value: Any) -> float | None:
    """A float; None for one that is not finite."""
    return float(value) if math.isfinite(float(value)) else None


def median(findings: Mapping[str, Mapping[int, Mapping[str, Any]]], key: str) -> float | None:
    """Of a figure over all units that have it."""
    values = [row[key] for units in findings.values() for row in units.values() if row[key] is not None]
    return float(np.median(values)) if values else None


def _write_npz(path: Path, arrays: Mapping[str, Arrays]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for session, own in arrays.items():
            for name, array in own.items():
                with archive.open(f"{session}/{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def _write_csv(path: Path, findings: Findings) -> None:
    rows = [
        {"session": session, "cid": cid, **row}
        for session, units in findings.units.items()
        for cid, row in units.items()
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
