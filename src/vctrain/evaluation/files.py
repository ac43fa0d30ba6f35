"""How are figures kept for later: results.json, and one row a unit as CSV and Parquet, keyed by cid?"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vctrain import console
from vctrain.errors import UsageError
from vctrain.evaluation.ceilings import FIGURES
from vctrain.runs.files import write_new

COLUMNS = ("checkpoint", "split", "session", "subject", "cid", "bps", "low", "high", "n_frames", "n_spikes")
OF_CEILINGS = ("checkpoint", "split", "session", "type", "cid", "n_repeats", "n_bins", *FIGURES)
Table = Sequence[Mapping[str, Any]]


def check_folder(folder: Path) -> None:
    """UsageError, before anything is computed, if results would replace others."""
    for name in (
        "results.json",
        *(f"{table}.{kind}" for table in ("units", "ceilings") for kind in ("csv", "parquet")),
    ):
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists; nothing was changed", hint="choose another --out")


def write_results(results: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write the results of several checkpoints into ``folder``; returns the files.

    Parquet needs pyarrow; without it a note says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = console.to_json({"results": list(results)}, indent=1) + "\n"
    write_new(folder / "results.json", lambda part: _write_text(part, text))
    tables: dict[str, tuple[tuple[str, ...], Table]] = {"units": (COLUMNS, list(rows(results)))}
    if any("ceilings" in result for result in results):
        tables["ceilings"] = OF_CEILINGS, list(rows_of_ceilings(results))
    written = [folder / "results.json"]
    for name, (columns, table) in tables.items():
        written += _write_table(folder / name, columns, table)
    return written


def _write_table(stem: Path, columns: tuple[str, ...], table: Table) -> list[Path]:
    path = stem.with_name(f"{stem.name}.csv")
    write_new(path, lambda part: _write_csv(part, columns, table))
    if importlib.util.find_spec("pyarrow") is None:
        console.note(f"{stem.name}.parquet was not written: pip install 'vctrain[parquet]'")
        return [path]
    parquet = stem.with_name(f"{stem.name}.parquet")
    write_new(parquet, lambda part: _write_parquet(part, columns, table))
    return [path, parquet]


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


def rows_of_ceilings(results: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for each unit and type of stimulus with repeats, with the columns `OF_CEILINGS`."""
    for result in results:
        for name, types in result["ceilings"]["sessions"].items():
            for kind, of_type in types.items():
                for cid, figures in of_type["units"].items():
                    yield {
                        "checkpoint": result["checkpoint"],
                        "split": result["split"],
                        "session": name,
                        "type": kind,
                        "cid": int(cid),
                        "n_repeats": of_type["n_repeats"],
                        "n_bins": of_type["n_bins"],
                        **figures,
                    }


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, columns: tuple[str, ...], table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _write_parquet(path: Path, columns: tuple[str, ...], table: Table) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({name: [row[name] for row in table] for name in columns}), path)
