"""Which options do several verbs share, and what do they mean?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vctrain.commands import completion
from vctrain.errors import UsageError


class Accelerator(StrEnum):
    """What to compute on."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Split(StrEnum):
    """Which trials."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class By(StrEnum):
    """What a table has a row for."""

    unit = "unit"
    session = "session"
    subject = "subject"
    type = "type"


class Null(StrEnum):
    """Which frames the mean rates of the null model come from."""

    evaluated = "evaluated"
    training = "training"


class Load(StrEnum):
    """Which tensors of a checkpoint."""

    all = "all"
    vision = "vision"


class Wandb(StrEnum):
    """What to do with Weights & Biases."""

    off = "off"
    offline = "offline"
    online = "online"


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object; everything else goes to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No notes, no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help="Parent YAML, folder of dataset YAMLs, or folder of session folders."),
]
DataRoot = Annotated[
    str | None,
    typer.Option("--data-root", metavar="DIR", help="Where recordings lie, if the dataset config does not say."),
]
Types = Annotated[
    str | None, typer.Option("--types", metavar="A,B", help="Stimulus types to use, instead of those of the configs.")
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Recipe to start from; see presets list.", autocompletion=completion.presets
    ),
]
ConfigFile = Annotated[
    list[Path] | None,
    typer.Option("--config", metavar="FILE", help="YAML of settings, over the preset. May be given again."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="One setting, over files and preset; VALUE is YAML. Repeatable.",
        autocompletion=completion.settings,
    ),
]
RunDir = Annotated[
    Path | None, typer.Option("--run-dir", metavar="DIR", help="Run directory to create [default: runs/<name>].")
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--time-limit", metavar="H:MM:SS", help="Save and end with 75 shortly before this much time is over."),
]
MaxMinutes = Annotated[
    float | None,
    typer.Option("--max-minutes", metavar="N", min=0.0, help="Train as many steps as fit; speed is measured once."),
]
Devices = Annotated[
    int | None,
    typer.Option("--devices", metavar="N", min=1, help="Processes on this machine, one a device [default: 1]."),
]
Nodes = Annotated[
    int | None, typer.Option("--nodes", metavar="N", min=1, help="Machines; start with srun or torchrun [default: 1].")
]
OnAccelerator = Annotated[
    Accelerator | None, typer.Option("--accelerator", help="What to compute on [default: auto].", show_default=False)
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of everything random [default: 0].")]
OnWandb = Annotated[
    Wandb | None,
    typer.Option("--wandb", help="Weights & Biases [default: WANDB_MODE, else off].", show_default=False),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show settings, their sources and the sessions; create nothing.")
]


def split_list(text: str | None) -> list[str] | None:
    """The items of ``a,b``; None stays None.

    >>> split_list("gaborium, backimage")
    ['gaborium', 'backimage']
    """
    return None if text is None else [item.strip() for item in text.split(",") if item.strip()]


def types_of(text: str | None) -> list[str] | None:
    """The stimulus types of ``--types``; UsageError if it is there and names none."""
    types = split_list(text)
    if types == []:
        raise UsageError("--types names no type", hint="such as --types gaborium,backimage")
    return types


def flags(given: Mapping[str, Any]) -> dict[str, object]:
    """What the options that all verbs of training share say, by dotted path of the setting; None: not given.

    ``given`` are the parameters of the verb, as ``context.params`` has them.
    """
    return {
        "seed": given["seed"],
        "data.path": given["data"],
        "data.root": given["data_root"],
        "data.types": types_of(given["types"]),
        "trainer.max_minutes": given["max_minutes"],
        "trainer.devices": given["devices"],
        "trainer.nodes": given["nodes"],
        "trainer.accelerator": None if given["accelerator"] is None else Accelerator(given["accelerator"]).value,
        "logging.wandb": wandb_mode(given["wandb"]),
    }


def wandb_mode(given: Wandb | str | None) -> str | None:
    """``--wandb``, else what WANDB_MODE says in the words of that client; None: neither."""
    if given is not None:
        return Wandb(given).value
    said = os.environ.get("WANDB_MODE")
    if not said:
        return None
    meant = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "off"}
    if said not in meant:
        raise UsageError(f"WANDB_MODE is {said!r}", hint=f"one of {', '.join(meant)}, or --wandb off")
    return meant[said]


def question(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options that all verbs of evaluation share say, as fields of `vctrain.evaluation.evaluate.Question`."""
    types = types_of(given["types"])
    return {
        "data": given["data"],
        "data_root": given["data_root"],
        "split": Split(given["split"]).value,
        "types": None if types is None else tuple(types),
        "accelerator": Accelerator(given["accelerator"] or Accelerator.auto).value,
    }
