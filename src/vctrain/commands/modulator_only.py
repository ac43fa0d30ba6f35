"""``vctrain modulator-only``: train a twin that predicts from behaviour alone."""

from __future__ import annotations

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.commands.train import begin
from vctrain.config.resolve import resolve
from vctrain.errors import UsageError
from vctrain.runs.stopping import limit_time

MODEL = "modulator_only_convgru"
"""The model where --set names none."""


def modulator_only(
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
    """Train a twin that reads no stimulus: what behaviour alone predicts, the baseline of every other twin.

    As `train`, with the model modulator_only_convgru unless --set model=NAME chooses another that reads no stimulus.
    Sessions without behaviour are refused by name.

    \b
    Examples:
      vctrain modulator-only --preset gaborium
      vctrain modulator-only --preset backimage --data sessions.yaml --set model=modulator_only_concat_convgru
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    limit_time(time_limit)
    flags = options.flags(context.params)
    named = any(text.partition("=")[0].strip() in ("model", "model.base") for text in set_ or [])
    sets = [*(set_ or []), *([] if named else [f"model={MODEL}"])]
    if preset is not None and not any(text.startswith("regularization") for text in sets):
        # Those of presets are for readouts with a place in the stimulus.
        sets.append("regularization=[]")
    chosen = resolve(preset, config or [], sets, flags).settings.model
    if chosen.stimulus:
        raise UsageError(
            "modulator-only: the model reads the stimulus", hint=f"choose one with stimulus: false, such as {MODEL}"
        )
    begin("modulator-only", preset, config or [], sets, flags, run_dir, dry_run)
