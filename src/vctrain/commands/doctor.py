"""``vctrain doctor``: would a run work on this machine, and how long would it take?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.train import resolved_for
from vctrain.config.resolve import read_settings
from vctrain.config.schema import Settings
from vctrain.errors import UsageError

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="[PRESET|RUN]",
        help="A preset or a run directory; none: the machine alone.",
        autocompletion=completion.presets_or_runs,
    ),
]
MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL"}


def doctor(
    context: typer.Context,
    target: Target = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    types: options.Types = None,
    config: options.ConfigFile = None,
    set_: options.Set = None,
    run_dir: options.RunDir = None,
    max_minutes: options.MaxMinutes = None,
    devices: options.Devices = None,
    nodes: options.Nodes = None,
    accelerator: options.OnAccelerator = None,
    seed: options.Seed = None,
    wandb: options.OnWandb = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Look at the machine, and with a preset or run at its recordings, its disk and a few real steps.

    Ends with 0, with 5 if something of the machine fails, with 3 if something of the recordings does. Creates no run.

    \b
    Examples:
      vctrain doctor
      vctrain doctor gaborium --data sessions.yaml --devices 2
      vctrain doctor runs/RUN
      vctrain doctor --config mine.yaml --data sessions.yaml --wandb online --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    flags = options.flags(context.params)
    settings: Settings | None = None
    if target is not None and (Path(target) / "config.yaml").is_file():
        given = [path for path, value in flags.items() if value is not None and path != "logging.wandb"]
        if given or config or set_:
            raise UsageError(f"{target} has its own settings", hint="name its preset instead to try others")
        settings = read_settings(Path(target) / "config.yaml")
    elif target is not None or config:
        settings = resolved_for(target, config or [], set_ or [], flags, create=True).settings
    elif data or set_:
        raise UsageError("no settings to look at", hint="name a preset, such as vctrain doctor gaborium --data PATH")
    from vctrain.runs.machine import Check, worst
    from vctrain.training.diagnosis import of_machine, of_run

    checks: list[Check] = []
    estimate: dict[str, Any] = {}

    def seen(check: Check) -> None:
        checks.append(check)
        console.result(f"{MARKS[check.state]:<5} {check.name}: {check.found}")
        if check.fix and check.state != "ok":
            console.result(f"      {check.fix}")

    for check in of_machine(settings):
        seen(check)
    if settings is not None:
        console.note("opening the recordings, then three steps of the twin: with a large model this takes a while")
        for check in of_run(settings, run_dir or Path("runs"), estimate):
            seen(check)
    code = worst(checks)
    failed = [check for check in checks if check.state == "fail"]
    if console.json_mode():
        shown: dict[str, Any] = {"checks": [check.as_dict() for check in checks], "estimate": estimate or None}
        if failed:
            shown["error"] = {"code": code, "message": failed[0].found, "hint": failed[0].fix}
        console.emit_json({"ok": not failed, "command": "doctor", **shown})
    raise typer.Exit(code)
