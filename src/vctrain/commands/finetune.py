"""``vctrain finetune``: train on from a checkpoint, with other sessions, another model behind its vision, or part of it
frozen."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.shown_runs import show_plan, show_result
from vctrain.config.idle import refuse_idle
from vctrain.config.resolve import DEFAULT, Resolved, resolve
from vctrain.errors import UsageError
from vctrain.runs.directory import plan_run_dir
from vctrain.runs.stopping import limit_time

Target = Annotated[
    str,
    typer.Argument(metavar="CKPT", help="Checkpoint or run directory to start from.", autocompletion=completion.runs),
]
Load = Annotated[options.Load, typer.Option("--load", help="Tensors to take: all that fit, or vision only.")]
FreezeVision = Annotated[
    bool, typer.Option("--freeze-vision", help="Frontend, convnet and the adapters that were loaded stay as they are.")
]
Freeze = Annotated[
    list[str] | None,
    typer.Option("--freeze", metavar="core|PATTERN", help="Also freeze these parameters. Repeatable."),
]
AddSession = Annotated[
    list[str] | None,
    typer.Option("--add-session", metavar="S", help="Of --data, only these new sessions join. Repeatable."),
]
Refit = Annotated[
    list[str] | None,
    typer.Option("--refit-readout", metavar="S", help="Session whose units changed. Repeatable."),
]
Cache = Annotated[
    bool,
    typer.Option("--cache-features", help="Keep what the frozen vision makes of the movies on disk, for later runs."),
]
Scratch = Annotated[bool, typer.Option("--compare-scratch", help="Also train from scratch in the same steps.")]


def finetune(
    context: typer.Context,
    checkpoint: Target,
    preset: options.Preset = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    types: options.Types = None,
    config: options.ConfigFile = None,
    set_: options.Set = None,
    load: Load = options.Load.all,
    freeze_vision: FreezeVision = False,
    freeze: Freeze = None,
    add_session: AddSession = None,
    refit_readout: Refit = None,
    cache_features: Cache = False,
    compare_scratch: Scratch = False,
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
    """Train on from a checkpoint. Without --preset and --config with its own settings and on its own recordings.

    Sessions are matched by name, units by cid; the model is the checkpoint's unless --set model=NAME (or a --config)
    chooses another. Sessions it does not know get new adapters and readouts.

    \b
    Examples:
      vctrain finetune runs/RUN --set optim.lr=1e-4
      vctrain finetune runs/RUN --freeze-vision --data new_session.yaml
      vctrain finetune twin.pt --load vision --freeze-vision --set model.modulator.type=concat
      vctrain finetune runs/RUN --freeze-vision --cache-features
      vctrain finetune old.pt --data sessions.yaml --freeze core --refit-readout Allen_2022-02-16
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    limit_time(time_limit)
    # Torch is needed to know what the checkpoint was trained with.
    from vctrain.training import fit, plan
    from vctrain.training.starting import settings_of

    source, base = settings_of(checkpoint)
    flags = options.flags(context.params) | {
        "start.checkpoint": checkpoint,
        "start.load": load.value,
        "start.freeze_vision": freeze_vision or None,
        "start.freeze": freeze or None,
        "start.add_sessions": add_session or None,
        "start.refit_readout": refit_readout or None,
        "start.cache_features": cache_features or None,
    }

    resolved = resolve(preset, config or [], set_ or [], flags, base=(source, base))
    refuse_idle(resolved.settings, resolved.provenance)
    if resolved.settings.data.path is None:
        raise UsageError(f"{checkpoint} names no recordings", hint="give --data PATH")
    if _chooses_model(resolved, source):
        flags["start.model"] = "settings"
        resolved = resolve(preset, config or [], set_ or [], flags, base=(source, base))
    planned = plan_run_dir(resolved.settings, resolved.provenance, run_dir)
    if dry_run:
        show_plan("finetune", resolved, plan.describe(resolved.settings), str(planned))
        return
    result = fit.train(resolved.settings, run_dir=planned, provenance=resolved.provenance, argv=sys.argv)
    if compare_scratch:
        result["scratch"] = fit.train_from_scratch(
            resolved.settings, run_dir=planned.with_name(f"{planned.name}-scratch"), provenance=resolved.provenance,
            argv=sys.argv,
        )  # fmt: skip
    show_result("finetune", result)


def _chooses_model(resolved: Resolved, base: str) -> bool:
    """Whether a file or --set says something of the model; a preset's model gives way to the checkpoint's."""
    sources = {source for path, source in resolved.provenance.items() if path.startswith("model.")}
    return any(source not in (DEFAULT, base) and not source.startswith("preset ") for source in sources)
