"""``vctrain simulate``: write simulated sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.commands.render import figure
from vctrain.config.problems import check
from vctrain.config.simulation import SimulationConfig

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; new or empty.")]
Sessions = Annotated[int, typer.Option("--sessions", metavar="N", help="Sessions.")]
Units = Annotated[int, typer.Option("--units", metavar="N", help="Units a session.")]
Minutes = Annotated[float, typer.Option("--minutes", metavar="M", help="Minutes a session, shared by its types.")]
Size = Annotated[int, typer.Option("--size", metavar="PIXELS", help="Side of the stimulus patch.")]
Rate = Annotated[float, typer.Option("--rate", metavar="HZ", help="Frames a second.")]
Kinds = Annotated[str, typer.Option("--types", metavar="A,B", help="Of gaborium, backimage, fixrsvp, gratings.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same bytes.")]
_DEFAULT = SimulationConfig()
_DEFAULT_TYPES = ",".join(_DEFAULT.types)


def simulate(
    out: Out,
    sessions: Sessions = _DEFAULT.sessions,
    units: Units = _DEFAULT.units,
    minutes: Minutes = _DEFAULT.minutes,
    size: Size = _DEFAULT.size,
    rate: Rate = _DEFAULT.rate,
    types: Kinds = _DEFAULT_TYPES,
    seed: Seed = _DEFAULT.seed,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Simulate sessions: stimuli, gaze, units and spikes, with the true rates, so the best attainable score is known.

    \b
    Examples:
      vctrain simulate sessions
      vctrain simulate small --sessions 2 --units 8 --minutes 2
      vctrain simulate images --types backimage,fixrsvp --seed 7
      vctrain train --preset gaborium --data sessions/dataset.yaml
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    asked = {
        "sessions": sessions,
        "units": units,
        "minutes": minutes,
        "size": size,
        "rate": rate,
        "types": options.types_of(types),
        "seed": seed,
    }
    config = check(SimulationConfig, asked, lambda path: f"--{path.partition('.')[0]}")
    from vctrain.data.simulation import simulate as write_sessions

    report = write_sessions(out, config, console.note)
    if console.json_mode():
        console.emit_json(
            {
                "ok": True,
                "command": "simulate",
                "out": report.out,
                "dataset": report.dataset,
                "settings": config.model_dump(mode="json"),
                "oracle_bps_overall": report.oracle,
            }
        )
        return
    console.result(
        f"{config.sessions} sessions of {config.units} units, {config.minutes:g} minutes each, in {report.out}"
    )
    console.result(f"oracle      {figure(report.oracle)} bits per spike")
    console.result(f"train with  vctrain train --preset gaborium --data {report.dataset}")
