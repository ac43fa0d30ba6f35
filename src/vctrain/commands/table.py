"""``vctrain table``: how do runs compare?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, fitted, options
from vctrain.commands.render import figure, share
from vctrain.commands.status import show_reasons
from vctrain.errors import UsageError
from vctrain.runs.listing import runs_at
from vctrain.runs.status import status_of
from vctrain.runs.table import RunTable, table_of, write_csv

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Run directories, folders of runs, or sweeps.", autocompletion=completion.runs
    ),
]
Sort = Annotated[
    str | None,
    typer.Option("--sort", metavar="COLUMN", help="Figures largest first, all else smallest first; -COLUMN: reversed."),
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write all columns as CSV.")]


def table(
    runs: Runs,
    sort: Sort = None,
    csv: Csv = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """One row a run: state, the settings in which the runs differ, best bits per spike, steps, cost.

    Failed, lost and damaged runs stay in the table, and so do members of a sweep that were never started.

    \b
    Examples:
      vctrain table runs
      vctrain table runs/a runs/b --sort val_bps_overall
      vctrain table sweeps/lr --sort optim.lr --csv lr.csv
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if csv is not None and csv.exists():
        raise UsageError(f"--csv {csv} exists; nothing was changed", hint="choose another --csv")
    statuses = [status_of(member) for member in runs_at(runs)]
    made = table_of(statuses, sort)
    if csv is not None:
        write_csv(csv, made)
        console.note(f"wrote {csv}")
    if json:
        said = {"columns": made.columns, "differing": made.differing, "rows": made.rows}
        console.emit_json({"ok": True, "command": "table", **said})
        return
    show(made)
    order = {row["path"]: place for place, row in enumerate(made.rows)}
    show_reasons(sorted(statuses, key=lambda one: order[str(one.path)]))


def show(made: RunTable) -> None:
    """The table for people: what differs stays as long as there is room."""

    def column(name: str, worth: int, cells: Sequence[str]) -> fitted.Column:
        return fitted.Column(name, tuple(cells), worth)

    def each(name: str) -> list[Any]:
        return [row[name] for row in made.rows]

    steps = [
        f"{done or 0}/{total}" if total else _plain(done)
        for done, total in zip(each("step"), each("steps"), strict=True)
    ]
    ends = [
        f"[{low:.4f}, {high:.4f}]" if low is not None else "-"
        for low, high in zip(each("low"), each("high"), strict=True)
    ]
    fitted.show(
        [
            column("run", 9, each("run")),
            column("state", 9, each("state")),
            *(
                column(path, 6 if path.startswith("model.") else 7, [_plain(value) for value in each(path)])
                for path in made.differing
            ),
            column("val_bps_overall", 8, [figure(value) for value in each("val_bps_overall")]),
            column("95 %", 4, ends),
            column("of oracle", 3, [share(value) for value in each("fraction_of_oracle")]),
            column("step", 4, steps),
            column("minutes", 5, [_number(value) for value in each("minutes")]),
            column("device-hours", 2, [_number(value) for value in each("device_hours")]),
            column("host", 1, [value or "-" for value in each("host")]),
        ]
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _plain(value: Any) -> str:
    """A setting as one would write it."""
    if isinstance(value, list | tuple):
        return ",".join(_plain(item) for item in value)
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
