"""How are figures kept for later: results.json, and one row a unit as CSV and Parquet, keyed by cid?"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.errors import UsageError
from vctrain.runs.files import write_new

COLUMNS = ("checkpoint", "split", "session", "subject", "cid", "bps", "low", "high", "n_frames", "n_spikes")
NAMES = ("results.json", "units.csv", "units.parquet")


def check_folder(folder: Path) -> None:
    """UsageError, before anything is computed, if results would replace others."""
    for name in NAMES:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists; nothing was changed", hint="choose another --out")


def write_results(results: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the results of several checkpoints into ``folder``; returns the files.

    Parquet needs pyarrow; without it a note says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = list(rows(results))
    written = [folder / "results.json", folder / "units.csv"]
    text = console.to_json({"results": list(results)}, indent=1) + "\n"
    write_new(written[0], lambda part: _write_text(part, text))
    write_new(written[1], lambda part: _write_csv(part, table))
    if importlib.util.find_spec("pyarrow") is None:
        console.note("units.parquet was not written: pip install 'vctrain[parquet]'")
        return written
    write_new(folder / "units.parquet", lambda part: _write_parquet(part, table))
    return [*written, folder / "units.parquet"]


def rows(results: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each unit of each checkpoint, with the columns `COLUMNS`."""
    for result in results:
        for name, session in result["sessions"].items():
            for cid, bps in session["units"].items():
                low, high = (session.get("unit_intervals") or {}).get(cid) or (None, None)
                yield {
                    "checkpoint": result["checkpoint"],
                    "split": result["split"],
                    "session": name,
                    "subject": session["subject"],
                    "cid": int(cid),
                    "bps": bps,
                    "low": low,
                    "high": high,
                    "n_frames": session["unit_frames"][cid],
                    "n_spikes": session["unit_spikes"][cid],
                }


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _write_parquet(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row[name] for row in table] for name in COLUMNS}
    parquet.write_table(pyarrow.table(columns), path)
