"""How are the figures of a run kept: metrics.csv, one row a validation, no column that depends on the clock."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from vctrain.runs.files import write_atomically

Cell = float | int | str | None


class MetricsFile:
    """``metrics.csv`` of a run directory: named columns, to which a later row may add; None is an empty cell."""

    def __init__(self, run_dir: Path) -> None:
        self.path = Path(run_dir) / "metrics.csv"

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add a row. Floats are written so that reading them back gives the same number."""
        columns = self._columns()
        new = [name for name in row if name not in columns]
        if new:
            columns += new
            self._widen(columns)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_csv_line([_cell(row.get(name)) for name in columns]))

    def keep_until(self, step: int, *, validated: bool) -> int:
        """Drop the rows of validations after optimizer step ``step``, and that of ``step`` unless it is ``validated``;
        half a row from a crash goes too. Returns how many rows went."""
        if not self.path.exists():
            return 0
        whole = self.path.read_text(encoding="utf-8")
        if not whole.endswith("\n"):
            write_atomically(self.path, whole[: whole.rfind("\n") + 1])
        rows, columns = self.rows(), self._columns()
        kept = [row for row in rows if int(row["step"]) < step + validated]
        if not kept:
            self.path.unlink()
        elif len(kept) < len(rows):
            lines = [_csv_line([row.get(name, "") for name in columns]) for row in kept]
            write_atomically(self.path, "".join([_csv_line(columns), *lines]))
        return len(rows) - len(kept)

    def rows(self) -> list[dict[str, str]]:
        """The rows so far, as text; a cell that was not given is empty."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return [
                {name: value or "" for name, value in row.items() if name is not None} for row in csv.DictReader(file)
            ]

    def _columns(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def _widen(self, columns: list[str]) -> None:
        lines = [_csv_line(columns)]
        lines += [_csv_line([row.get(name, "") for name in columns]) for row in self.rows()]
        write_atomically(self.path, "".join(lines))


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
