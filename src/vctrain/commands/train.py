"""``vctrain train``: resolve the settings, find or simulate the sessions, train, show the figures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from vctrain import console, presets
from vctrain.commands import options
from vctrain.commands.shown_runs import show_plan, show_result
from vctrain.config.idle import refuse_idle
from vctrain.config.layers import leaves
from vctrain.config.resolve import SIMULATED, Resolved, resolve
from vctrain.errors import UsageError
from vctrain.runs.directory import plan_run_dir
from vctrain.runs.stopping import limit_time

QUICK = "quick"
"""The overlay of a preset that is sized for a few cores and simulated sessions."""


def train(
    context: typer.Context,
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
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a twin; ends with a run directory, a checkpoint and exact bits per spike on validation trials.

    Settings come from the preset, then --config, then --set, then the other options; later ones hold. Without
    --data, sessions are simulated once and kept.

    \b
    Examples:
      vctrain train --preset gaborium
      vctrain train --preset checkerboard --data recordings.yaml --set optim.lr=3e-3
      vctrain train --preset gaborium --data sessions/ --types gaborium,backimage --seed 3
      vctrain train --preset gaborium --config mine.yaml --run-dir runs/mine --json
      vctrain train --preset gaborium --dry-run
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    flags = options.flags(context.params)
    limit_time(time_limit)
    begin("train", preset, config or [], set_ or [], flags, run_dir, dry_run)


def begin(
    command: str,
    preset: str | None,
    config: Sequence[Path],
    sets: Sequence[str],
    flags: Mapping[str, object],
    run_dir: Path | None,
    dry_run: bool,
) -> None:
    """Resolve, plan and train, as several verbs do; ``flags`` by dotted path."""
    early = _resolved(preset, config, sets, flags)
    planned = plan_run_dir(early.settings, early.provenance, run_dir)
    resolved = resolved_for(preset, config, sets, flags, create=not dry_run)
    from vctrain.training import fit, plan

    if dry_run:
        described = plan.describe(resolved.settings) if resolved.settings.data.path else _description_before(resolved)
        show_plan(command, resolved, described, str(planned))
        return
    result = fit.train(resolved.settings, run_dir=planned, provenance=resolved.provenance, argv=sys.argv)
    show_result(command, result)


def _resolved(
    preset: str | None, config: Sequence[Path], sets: Sequence[str], flags: Mapping[str, object], *overlays: str
) -> Resolved:
    if preset is None and not config:
        known = ", ".join(presets.names())
        raise UsageError("no settings to train with", hint=f"add --preset NAME (there are: {known}) or --config FILE")
    resolved = resolve(preset, config, sets, flags, overlays=overlays)
    refuse_idle(resolved.settings, resolved.provenance)
    return resolved


def resolved_for(
    preset: str | None,
    config: Sequence[Path],
    sets: Sequence[str],
    flags: Mapping[str, object],
    *,
    create: bool,
) -> Resolved:
    """The settings of a new run, with sessions simulated where none are given (if ``create``), and said so."""

    def resolved_with(*overlays: str) -> Resolved:
        return _resolved(preset, config, sets, flags, *overlays)

    resolved = resolved_with()
    simulated = resolved.settings.data.path is None
    if simulated:
        console.note("no --data: training on simulated sessions")
    # Torch is imported from here on, after settings and run directory were found to be good.
    from vctrain.training.engine import check_devices, resolve_accelerator

    trainer = resolved.settings.trainer
    hardware = resolve_accelerator(trainer.accelerator)
    check_devices(hardware, trainer.devices, trainer.nodes)
    if simulated:
        if hardware == "cpu" and QUICK in resolved.overlays:
            resolved = _announced_quick(resolved, resolved_with(QUICK))
        _check_simulated_types(resolved)
        resolved = _with_simulated_sessions(resolved, create)
    return resolved


def _check_simulated_types(resolved: Resolved) -> None:
    wanted, simulated = resolved.settings.data.types or (), resolved.settings.simulation.types
    missing = [kind for kind in wanted if kind not in simulated]
    if missing:
        raise UsageError(
            f"no --data, and simulated sessions have no {', '.join(missing)}: their types are {', '.join(simulated)}",
            hint="give --data, --types, or --set simulation.types=[...] (gaborium, backimage, fixrsvp, gratings)",
        )


def _announced_quick(before: Resolved, after: Resolved) -> Resolved:
    old = dict(leaves(before.settings.model_dump(mode="json")))
    new = dict(leaves(after.settings.model_dump(mode="json")))
    sources = [source for path, source in after.provenance.items() if path.startswith("model.")]
    named = next((source.partition(", model ")[2] for source in sources if f"overlay {QUICK}, model " in source), "")
    changes = [f"model {named}"] if named else []
    for path, value in new.items():
        if path in old and old[path] != value and not (named and path.startswith("model.")):
            changes.append(f"{path} {old[path]} -> {value}")
    console.note(f"no GPU and simulated sessions: overlay {QUICK} applies ({', '.join(changes) or 'no change'})")
    return after


def _with_simulated_sessions(resolved: Resolved, create: bool) -> Resolved:
    from vctrain.data.simulation.cache import cache_folder, cached_sessions, is_cached

    wanted = resolved.settings.simulation
    folder, there = cache_folder(wanted), is_cached(wanted)
    how = "using those in" if there else "simulating them into" if create else "they would be simulated into"
    console.note(f"{wanted.sessions} sessions of {wanted.units} units and {wanted.minutes:g} minutes; {how} {folder}")
    if create:
        folder = cached_sessions(wanted, console.note)
    return resolved.with_data(folder / "dataset.yaml", SIMULATED) if there or create else resolved


def _description_before(resolved: Resolved) -> dict[str, Any]:
    """What can be said of sessions that are not simulated yet."""
    from vctrain.data.simulation.sessions import session_names

    wanted, types = resolved.settings.simulation, resolved.settings.data.types
    shown = [kind for kind in wanted.types if not types or kind in types]
    frames = len(shown) * max(1, round(wanted.minutes * 60 * wanted.rate / len(wanted.types)))
    sessions = [{"name": name, "units": wanted.units, "frames": frames} for name in session_names(wanted.sessions)]
    return {"sessions": sessions, "parameters": None, "context": None}
