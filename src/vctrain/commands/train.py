"""``vctrain train``: resolve the settings, find or simulate the sessions, train, show the figures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vctrain import console, presets
from vctrain.commands import options
from vctrain.commands.render import figure, share
from vctrain.config.layers import leaves
from vctrain.config.resolve import SIMULATED, Resolved, resolve
from vctrain.errors import UsageError
from vctrain.runs.directory import plan_run_dir

QUICK = "quick"
"""The overlay of a preset that is sized for a few cores and simulated sessions."""


def train(
    preset: options.Preset = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    types: options.Types = None,
    config: options.ConfigFile = None,
    set_: options.Set = None,
    run_dir: options.RunDir = None,
    devices: options.Devices = None,
    nodes: options.Nodes = None,
    accelerator: options.OnAccelerator = None,
    seed: options.Seed = None,
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
    if preset is None and not config:
        known = ", ".join(presets.names())
        raise UsageError("no settings to train with", hint=f"add --preset NAME (there are: {known}) or --config FILE")
    flags = {
        "seed": seed,
        "data.path": data,
        "data.root": data_root,
        "data.types": options.split_list(types),
        "trainer.devices": devices,
        "trainer.nodes": nodes,
        "trainer.accelerator": None if accelerator is None else accelerator.value,
    }

    def resolved_with(*overlays: str) -> Resolved:
        return resolve(preset, config or [], set_ or [], flags, overlays=overlays)

    resolved = resolved_with()
    simulated = resolved.settings.data.path is None
    if simulated:
        console.note("no --data: training on simulated sessions")
    planned = plan_run_dir(resolved.settings, resolved.provenance, run_dir)
    # Torch is imported from here on, after settings and run directory were found to be good.
    from vctrain.training import fit, plan
    from vctrain.training.engine import check_devices, resolve_accelerator

    trainer = resolved.settings.trainer
    hardware = resolve_accelerator(trainer.accelerator)
    check_devices(hardware, trainer.devices, trainer.nodes)
    if simulated:
        if hardware == "cpu" and QUICK in resolved.overlays:
            resolved = _announced_quick(resolved, resolved_with(QUICK))
        resolved = _with_simulated_sessions(resolved, create=not dry_run)
    if dry_run:
        described = plan.describe(resolved.settings) if resolved.settings.data.path else _description_before(resolved)
        _show_plan(resolved, described, str(planned))
        return
    result = fit.train(resolved.settings, run_dir=planned, provenance=resolved.provenance, argv=sys.argv)
    _show_result(result)


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

    wanted = resolved.settings.simulation
    frames = round(wanted.minutes * 60 * wanted.rate)
    sessions = [{"name": name, "units": wanted.units, "frames": frames} for name in session_names(wanted.sessions)]
    return {"sessions": sessions, "parameters": None, "context": None}


def _show_plan(resolved: Resolved, described: Mapping[str, Any], run_dir: str) -> None:
    settings = dict(leaves(resolved.settings.model_dump(mode="json")))
    if console.json_mode():
        plan = {
            "ok": True,
            "command": "train",
            "dry_run": True,
            "run": run_dir,
            "settings": resolved.settings.model_dump(mode="json"),
            "provenance": resolved.provenance,
        }
        console.emit_json(plan | dict(described))
        return
    rows = [[path, console.to_json(value), resolved.provenance[path]] for path, value in settings.items()]
    console.table("settings", ["setting", "value", "from"], rows)
    sessions: Sequence[Mapping[str, Any]] = described["sessions"]
    every = ("name", "subject", "units", "frames", "train_frames", "val_frames", "clips", "weight")
    columns = [name for name in every if all(name in session for session in sessions)]
    console.result("")
    rows = [[_cell(session[name]) for name in columns] for session in sessions]
    console.table("sessions; clips a step and weight in the loss, on average", columns, rows)
    if described.get("schedule"):
        console.result("")
        shown = [[_cell(value) for value in row.values()] for row in described["schedule"]]
        console.table("schedule", list(described["schedule"][0]), shown)
    if described["parameters"] is not None:
        core, head = described["parameters"]["core"], described["parameters"]["head"]
        context = described["context"]
        console.result(f"\nparameters: {core + head:,} ({core:,} core, {head:,} heads); context {context} frames")
    for line in described.get("notes", ()):
        console.note(line)
    console.result(f"would create {run_dir}")


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _show_result(result: Mapping[str, Any]) -> None:
    if console.json_mode():
        console.emit_json({"ok": True, "command": "train", **result})
        return
    rows = [[name, figure(value)] for name, value in result["val_bps"].items()]
    console.table("", ["session", "val_bps"], rows)
    overall = f"val_bps_overall {figure(result['val_bps_overall'])}"
    if result["fraction_of_oracle"] is not None:
        overall += f", {share(result['fraction_of_oracle'])} of the oracle's {figure(result['oracle_bps_overall'])}"
    console.result(f"{overall}; {result['steps']} steps in {result['seconds']:.0f} s")
    console.result(f"run         {result['run']}")
    console.result(f"checkpoint  {result['checkpoint']}")
