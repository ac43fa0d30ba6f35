"""Which settings that somebody asked for would touch nothing, because of another one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vctrain.config.schema import Settings
from vctrain.errors import UsageError

_Rule = tuple[str, Callable[[Settings], bool], str]
_RULES: tuple[_Rule, ...] = (
    ("optim.decay_epochs", lambda s: s.optim.schedule == "step", "optim.schedule=step"),
    ("optim.decay_factor", lambda s: s.optim.schedule in ("step", "plateau"), "optim.schedule=step or plateau"),
    ("optim.plateau_patience", lambda s: s.optim.schedule == "plateau", "optim.schedule=plateau"),
    (
        "optim.restart_epochs",
        lambda s: s.optim.schedule == "cosine_warmup_restart",
        "optim.schedule=cosine_warmup_restart",
    ),
    ("optim.final_lr_fraction", lambda s: s.optim.schedule.startswith("cosine"), "optim.schedule=cosine"),
    ("trainer.min_delta", lambda s: s.trainer.patience is not None, "trainer.patience=N"),
    (
        "init.map_minutes",
        lambda s: s.init.readout_positions == "maps" or s.init.kernels == "maps",
        "init.readout_positions=maps or init.kernels=maps",
    ),
    *(
        (f"logging.{name}", lambda s: s.logging.wandb != "off", "logging.wandb=online or offline")
        for name in ("project", "entity", "group", "tags")
    ),
    ("simulation", lambda s: s.data.path is None, "no --data"),
)
"""A setting (or all below it), when it has an effect, and what it needs."""


def refuse_idle(settings: Settings, sources: Mapping[str, str]) -> None:
    """UsageError for a setting given on the command line that has no effect beside the others.

    Presets and files may hold such settings: they are written for more than one run.
    """
    for path, source in sources.items():
        if not source.startswith("--"):
            continue
        for setting, matters, needs in _RULES:
            if (path == setting or path.startswith(f"{setting}.")) and not matters(settings):
                raise UsageError(f"{source}: {path} has no effect without {needs}", hint="leave it out, or add that")
