"""``vctrain sweep``: write the configs and the scripts of many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import options

Grid = Annotated[Path, typer.Argument(metavar="GRID.yaml", help="What the runs have in common and what varies.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder for configs, scripts and runs.")]


def sweep(
    grid: Grid,
    out: Out,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a config for each member of a sweep, an array for sbatch and a plain bash loop; starts nothing.

    The settings of every member are checked before anything is written. Runs will be in DIR/runs; `vctrain table DIR`
    shows all members, also those that were never started.

    \b
    Examples:
      vctrain sweep grid.yaml --out sweeps/lr
      bash sweeps/lr/sweep.sh
      sbatch sweeps/lr/sweep.sbatch
      vctrain table sweeps/lr --sort val_bps_overall

    \b
    grid.yaml:
      preset: gaborium
      data: sessions.yaml
      grid: {optim.lr: [3e-4, 1e-3], optim.weight_decay: [0, 1e-4]}
      points: [{model: twin_small}]
      seeds: 3
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    from vctrain.runs.sweep import described, plan, refuse_existing, run_of_member, write

    refuse_existing(out)
    planned = plan(grid)
    write(planned, out)
    scripts = [out / "sweep.sh", out / "sweep.sbatch"]
    if json:
        members = [
            {"number": one.number, "config": out / one.config, "run": out / run_of_member(out, one.number)}
            | {"differs": one.differs}
            for one in planned.members
        ]
        console.emit_json({"ok": True, "command": "sweep", "out": out, "members": members, "scripts": scripts})
        return
    console.table("", ["config", "differs"], [[one.config, described(one.differs)] for one in planned.members])
    if planned.members[0].resolved.settings.data.path is None:
        console.note("no data: the members will train on simulated sessions")
    console.result(f"wrote {len(planned.members)} configs to {out}; nothing was started")
    for run in (f"bash {scripts[0]}", f"sbatch {scripts[1]}"):
        console.result(f"start  {run}")
