"""``vctrain resume``: go on with a run as if nothing had happened, or start it if there is none yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.shown_runs import show_result
from vctrain.commands.train import begin, resolved_for
from vctrain.config.resolve import Resolved, read_settings, resolve
from vctrain.errors import UsageError
from vctrain.runs.directory import plan_run_dir
from vctrain.runs.locate import AUTO, newest_run, none_found, run_of
from vctrain.runs.stopping import limit_time

Target = Annotated[
    str,
    typer.Argument(
        metavar="RUN|CKPT|auto",
        help="Run directory, its newest checkpoint, or the newest run here.",
        autocompletion=completion.runs,
    ),
]
OrStart = Annotated[
    bool, typer.Option("--or-start", help="Start the run that the other options describe, if there is none yet.")
]


def resume(
    context: typer.Context,
    target: Target,
    or_start: OrStart = False,
    preset: options.Preset = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    types: options.Types = None,
    config: options.ConfigFile = None,
    set_: options.Set = None,
    run_dir: options.RunDir = None,
    time_limit: options.TimeLimit = None,
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
    """Go on with a run from its newest good checkpoint, also in the middle of an epoch.

    Its settings are its own; only how long it trains, on what, how often it saves and where the recordings lie may be
    changed. `auto` is the unfinished run in runs/ that was written last, and in a SLURM job that job's own. With
    --or-start the same command starts a run the first time and goes on with it every time after.

    \b
    Examples:
      vctrain resume runs/RUN
      vctrain resume runs/RUN --set trainer.max_epochs=200
      vctrain resume auto
      vctrain resume runs/mine --or-start --preset gaborium --data sessions.yaml --time-limit 3:55:00
      vctrain resume runs/RUN/checkpoints/last.ckpt --run-dir runs/branch
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    limit_time(time_limit)
    flags = options.flags(context.params)
    if not or_start and preset is not None:
        raise UsageError("--preset has no effect on a run that goes on", hint="leave it out, or add --or-start")
    described = None
    if or_start:
        described = resolved_for(preset, config or [], set_ or [], flags, create=False)
    place, checkpoint = _find(target, described)
    if place is None:
        if not or_start:
            raise none_found(target)
        planned = run_dir or (None if target == AUTO else Path(target))
        begin("resume", preset, config or [], set_ or [], flags, planned, dry_run=False)
        return
    if run_dir is not None and checkpoint is None:
        raise UsageError(
            f"--run-dir {run_dir}: {place} goes on where it is", hint="name one of its checkpoints to branch"
        )
    # Torch is imported from here on.
    from vctrain.training import resuming

    wanted = described or _changed(place, config or [], set_ or [], flags)
    sources = wanted.provenance
    if run_dir is not None and checkpoint is not None:
        plan_run_dir(wanted.settings, sources, run_dir)
        resuming.branch(checkpoint, wanted.settings, sources, run_dir, sys.argv)
        place, checkpoint = run_dir, None
    show_result("resume", resuming.resume(place, wanted.settings, sources, checkpoint=checkpoint))


def _find(target: str, described: Resolved | None) -> tuple[Path | None, Path | None]:
    if target != AUTO:
        return run_of(target) if described is None or Path(target).exists() else (None, None)

    def fits(path: Path, run: Mapping[str, Any]) -> bool:
        if described is None:
            return True
        from vctrain.training.resuming import MAY_CHANGE, changes

        stored = read_settings(path / "config.yaml")
        found = changes(stored, described.settings, described.provenance)
        return all(change.path in MAY_CHANGE for change in found)

    return newest_run(fits), None


def _changed(place: Path, config: Sequence[Path], sets: Sequence[str], flags: Mapping[str, object]) -> Resolved:
    stored = read_settings(place / "config.yaml").model_dump(mode="json")
    return resolve(None, config, sets, flags, base=(f"run {place}", stored))
