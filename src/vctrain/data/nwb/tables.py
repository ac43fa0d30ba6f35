"""Which units does an NWB file hold, and when were its trials and blinks?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.inspection.findings import counted, listed
from vctrain.data.intervals import Ints
from vctrain.data.nwb.file import length_of, pynwb_module, read, values_of
from vctrain.errors import ContractError, UsageError

Times = NDArray[np.float64]


@dataclass(frozen=True)
class UnitsFound:
    """The units that were asked for."""

    rows: Ints
    """Their places in the table."""
    ids: list[int]
    n_all: int
    table: Any

    def spike_times(self) -> Iterator[Times]:
        """Seconds, of one unit after the other."""
        column = self.table["spike_times"]
        edges = read("units, spike_times_index", column.data).astype(np.int64)
        for row in self.rows.tolist():
            first = int(edges[row - 1]) if row else 0
            yield read(f"units, spike_times of row {row}", column.target.data, slice(first, int(edges[row])))


def units_of(nwb: Any, where: Mapping[str, tuple[str, ...]]) -> UnitsFound:
    """The units whose columns have the values of `where`.

    Raises ContractError if there are no spike times, UsageError if no unit has the values asked for.
    """
    table = nwb.units
    if table is None or length_of(table.id) == 0 or "spike_times" not in table.colnames:
        raise ContractError(
            "the file holds no units with spike_times" if table is None else "its units table holds no spike_times",
            hint="write them with nwbfile.add_unit(spike_times=...); imaging data hold no spikes",
        )
    ids = read("units, id", table.id.data)
    good = np.ones(len(ids), bool)
    for column, values in where.items():
        if column not in table.colnames:
            known = [name for name in table.colnames if name != "spike_times"]
            raise UsageError(f"units have no column {column}", hint=f"columns: {listed(known) or 'none'}")
        has = [_text(value) for value in _column(table, column)]
        fits = np.array([value in values for value in has])
        if not fits.any():
            raise UsageError(
                f"--where {column}={','.join(values)}: no unit has it", hint=f"values: {listed(sorted(set(has)))}"
            )
        good &= fits
    rows = np.flatnonzero(good)
    if not len(rows):
        raise UsageError("no unit has all that --where asks for", hint="ask for less")
    return UnitsFound(rows, [int(i) for i in ids[rows]], len(ids), table)


def _column(table: Any, name: str) -> list[Any]:
    column = table[name]
    data = column.data
    if hasattr(column, "target") or length_of(data) != length_of(table.id):
        raise UsageError(f"column {name} of units has several values a unit", hint="choose another")
    return values_of(f"units, {name}", data)


def _text(value: Any) -> str:
    """A value of a table as one would type it.

    >>> _text(b"good"), _text(np.float64(2.0)), _text(np.True_)
    ('good', '2', 'True')
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating):
        return f"{float(value):g}"
    return str(value)


def trials_of(nwb: Any, name: str | None, notes: list[str]) -> tuple[str, Times] | None:
    """The name of the table of trials, and start and stop of each, (n, 2) seconds; None if there is no such table.

    Raises UsageError if there is no table called `name`, ContractError for one without a row of start and stop.
    """
    tables = dict(nwb.intervals or {})
    if name is None:
        table = tables.get("trials")
        if table is None or not len(table):
            return None
    elif name not in tables:
        raise UsageError(f"the file has no intervals {name}", hint=f"there are: {listed(tables) or 'none'}")
    else:
        table = tables[name]
    times = _intervals(table)
    known = np.isfinite(times).all(axis=1)
    if not known.all():
        notes.append(f"{table.name}: {counted(int((~known).sum()), 'row')} without start or stop left out")
    if not known.any():
        raise ContractError(f"{table.name} has no row with start and stop", hint="choose another with --trials")
    return table.name, times[known]


def blinks_of(nwb: Any) -> tuple[list[str], list[Times]]:
    """Names of tables of intervals with blink in their names, and start and stop of each blink, (n, 2) seconds."""
    kind = pynwb_module().epoch.TimeIntervals
    tables = [table for table in nwb.objects.values() if isinstance(table, kind) and "blink" in table.name.lower()]
    return [table.name for table in tables], [_intervals(table) for table in tables]


def _intervals(table: Any) -> Times:
    ends = [read(f"{table.name}, {end}", table[end].data) for end in ("start_time", "stop_time")]
    return np.stack(ends, 1).astype(np.float64)
