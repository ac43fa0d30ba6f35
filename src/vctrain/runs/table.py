"""How do runs compare: one row a run, with the settings in which they differ?

Free of torch and pydantic.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.config.layers import leaves
from vctrain.errors import UsageError
from vctrain.runs.files import write_new
from vctrain.runs.status import Status

BEFORE = ("run", "state")
AFTER = ("val_bps_overall", "low", "high", "fraction_of_oracle", "step", "steps", "minutes", "device_hours", "host")
LAST = ("reason", "path")
_BEST_FIRST = ("val_bps_overall", "low", "high", "fraction_of_oracle")
MODEL = "model"
_ABSENT = object()
_MEASURED = ("trainer.measured_step_seconds",)
"""Written by the runs themselves; not what anybody chose."""


@dataclass(frozen=True)
class RunTable:
    """Rows by name of column; None is an empty cell."""

    columns: tuple[str, ...]
    differing: tuple[str, ...]
    """Dotted paths of the settings that are not the same in all runs."""
    rows: tuple[dict[str, Any], ...]


def table_of(statuses: Sequence[Status], sort: str | None = None) -> RunTable:
    """One row a run, in the order given or by the column ``sort``: figures largest first, all else smallest first,
    empty cells last; ``-COLUMN`` the other way round. UsageError if there is no such column."""
    readable = [status for status in statuses if status.settings is not None]
    differing = differing_settings([one.settings or {} for one in readable], [one.model for one in readable])
    columns = (*BEFORE, *differing, *AFTER, *LAST)
    rows = [_row(status, differing) for status in statuses]
    if sort is not None:
        rows = _sorted(rows, sort, columns)
    return RunTable(columns, differing, tuple(rows))


def differing_settings(
    settings: Sequence[Mapping[str, Any]], models: Sequence[str | None] | None = None
) -> tuple[str, ...]:
    """Dotted paths of leaves that are not the same in all ``settings``; ``model`` for its name, if ``models`` differ.

    What follows from the name of the model, or is of one ``type`` of a part that only some have, says nothing more.
    """
    names = [None] * len(settings) if models is None else list(models)
    flat = [dict(leaves(one)) for one in settings]
    paths = dict.fromkeys(path for one in flat for path in one)
    found: set[str] = set()
    types: list[str] = []
    # parts before what is in them, and of a part its type first
    for path in sorted(paths, key=lambda path: (path.count("."), not path.endswith(".type"))):
        values = [one.get(path, _ABSENT) for one in flat]
        if path in _MEASURED or f"{path}.type" in paths or _follows(path, values, names):
            continue
        if any(path.startswith(part) for part in types):
            values = [value for value in values if value is not _ABSENT]
        if all(value == values[0] for value in values):
            continue
        found.add(path)
        if path.endswith(".type"):
            types.append(path.removesuffix("type"))
    named = (MODEL,) if len(set(names)) > 1 else ()
    return (*named, *(path for path in paths if path in found))


def _follows(path: str, values: Sequence[Any], names: Sequence[str | None]) -> bool:
    """Whether a setting of the model is what the name of the model tells."""
    if not path.startswith("model.") or len(set(names)) == 1:
        return False
    known: dict[str | None, Any] = {}
    return all(known.setdefault(name, value) == value for name, value in zip(names, values, strict=True))


def write_csv(path: Path, table: RunTable) -> None:
    """All columns as CSV, whole or not at all; UsageError if there is a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_cell(row[name]) for name in table.columns] for row in table.rows)
    write_new(path, lambda part: _write(part, text.getvalue()))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _row(status: Status, differing: Sequence[str]) -> dict[str, Any]:
    flat = dict(leaves(status.settings)) if status.settings is not None else {}
    flat[MODEL] = status.model
    low, high = status.best.interval or (None, None)
    return {
        "run": status.name,
        "state": status.state,
        **{path: flat.get(path) for path in differing},
        "val_bps_overall": status.best.val_bps_overall,
        "low": low,
        "high": high,
        "fraction_of_oracle": status.best.fraction_of_oracle,
        "step": status.step,
        "steps": status.steps,
        "minutes": None if status.seconds is None else status.seconds / 60,
        "device_hours": status.device_hours,
        "host": status.host,
        "reason": status.reason,
        "path": str(status.path),
    }


def _sorted(rows: Sequence[dict[str, Any]], sort: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    name = sort.removeprefix("-")
    if name not in columns:
        # the last part of a dotted path will do where it is the only one
        short = [column for column in columns if column.rpartition(".")[2] == name]
        if len(short) != 1:
            raise UsageError(f"--sort {sort}: no such column", hint=_nearest(name, columns))
        name = short[0]
    downwards = (name in _BEST_FIRST) != sort.startswith("-")
    known = [row for row in rows if row[name] is not None]
    plain = all(isinstance(row[name], int | float) for row in known)
    known.sort(key=lambda row: row[name] if plain else str(row[name]), reverse=downwards)
    return [*known, *(row for row in rows if row[name] is None)]


def _nearest(name: str, columns: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, columns, n=1)
    return f"did you mean {close[0]}?" if close else f"columns: {', '.join(columns)}"
