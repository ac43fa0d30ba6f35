"""``vctrain analyze``: receptive fields, tuning, most exciting images and the gain of behaviour of a twin's units."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vctrain import console
from vctrain.commands import completion, options
from vctrain.commands.analysed import show
from vctrain.errors import UsageError

if TYPE_CHECKING:
    from vctrain.evaluation.analyses.chosen import Asked
    from vctrain.evaluation.analyses.findings import Findings

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


class Motion(StrEnum):
    """How gratings are shown."""

    drifting = "drifting"
    flashed = "flashed"


class Source(StrEnum):
    """What a most exciting image is compared with."""

    data = "data"
    noise = "noise"


Target = Annotated[
    str, typer.Argument(metavar="CKPT", help="Checkpoint file or run directory.", autocompletion=completion.runs)
]
OnSplit = Annotated[options.Split, typer.Option("--split", help="Trials to read.")]
Sessions = Annotated[str | None, typer.Option("--session", metavar="A,B", help="Sessions [default: all].")]
Cids = Annotated[str | None, typer.Option("--cids", metavar="N,M", help="Units, by cid [default: all].")]
Lags = Annotated[int | None, typer.Option("--lags", metavar="N", min=1, help="Frames of history.", show_default=False)]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same result.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Also write arrays (.npz), a row a unit (.csv) and pictures."),
]


@app.callback()
def _analyze() -> None:
    """Analyse the units of a twin: what they respond to, in data and model.

    \b
    Examples:
      vctrain analyze sta runs/RUN --out results
      vctrain analyze tuning runs/RUN --in-silico
      vctrain analyze mei runs/RUN --cids 3,17 --out results
      vctrain analyze ablate-behavior runs/RUN
    """


@app.command("sta")
def sta(
    context: typer.Context,
    checkpoint: Target,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.all,
    types: options.Types = "gaborium",
    session: Sessions = None,
    cids: Cids = None,
    lags: Lags = None,
    out: Out = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Spike-triggered average and energy of data and model, on noise stimuli: peak lag, signal to noise, similarity.

    \b
    Examples:
      vctrain analyze sta runs/RUN
      vctrain analyze sta runs/RUN --session Allen_2022-01-03 --cids 3,17 --out results
      vctrain analyze sta runs/RUN --types checkerboard --lags 20 --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    asked = _asked(context.params, out, "sta")
    from vctrain.evaluation.analyses.sta import sta as find

    _finish(find(checkpoint, asked, lags=lags), out)


@app.command("tuning")
def tuning(
    context: typer.Context,
    checkpoint: Target,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.all,
    types: options.Types = None,
    session: Sessions = None,
    cids: Cids = None,
    lags: Lags = None,
    in_silico: Annotated[
        bool, typer.Option("--in-silico", help="Show gratings to the twin, instead of reading recorded ones.")
    ] = False,
    motion: Annotated[Motion, typer.Option("--motion", help="In silico: how gratings are shown.")] = Motion.drifting,
    directions: Annotated[int, typer.Option("--directions", metavar="N", help="In silico: over the whole turn.")] = 16,
    frequencies: Annotated[int, typer.Option("--frequencies", metavar="N", help="In silico: spatial ones.")] = 8,
    phases: Annotated[int, typer.Option("--phases", metavar="N", help="In silico: of flashed gratings.")] = 8,
    hertz: Annotated[float, typer.Option("--hertz", metavar="HZ", help="In silico: cycles a second of drift.")] = 4.0,
    contrast: Annotated[float, typer.Option("--contrast", metavar="C", help="In silico: amplitude.")] = 0.3,
    out: Out = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Tuning to orientation, spatial frequency and phase: of data and model from recorded gratings, or in silico.

    Recorded gratings are those of --types [default: gratings].

    \b
    Examples:
      vctrain analyze tuning runs/RUN --out results
      vctrain analyze tuning runs/RUN --in-silico --out results
      vctrain analyze tuning runs/RUN --in-silico --motion flashed --directions 12 --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if not in_silico:
        _only_in_silico(context)
        asked = _asked({**context.params, "types": types or "gratings"}, out, "tuning")
        from vctrain.evaluation.analyses.gratings import tuning as find

        _finish(find(checkpoint, asked, lags=lags), out)
        return
    if lags is not None:
        raise UsageError("--lags is for recorded gratings", hint="leave out --lags or --in-silico")
    asked = _asked(context.params, out, "tuning")
    from vctrain.evaluation.analyses.in_silico import Gratings
    from vctrain.evaluation.analyses.in_silico import in_silico as show_gratings

    gratings = Gratings(
        motion=motion.value,
        directions=directions,
        frequencies=frequencies,
        phases=phases,
        hertz=hertz,
        contrast=contrast,
    )
    _finish(show_gratings(checkpoint, asked, gratings), out)


@app.command("mei")
def mei(
    context: typer.Context,
    checkpoint: Target,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.all,
    types: options.Types = None,
    session: Sessions = None,
    cids: Cids = None,
    movie: Annotated[bool, typer.Option("--movie", help="A clip, instead of an image that is held.")] = False,
    contrast: Annotated[float, typer.Option("--contrast", metavar="C", help="Root mean square contrast.")] = 0.05,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps of the ascent.")] = 100,
    starts: Annotated[int, typer.Option("--starts", metavar="N", help="Starts from noise.")] = 3,
    references: Annotated[int, typer.Option("--references", metavar="N", help="Stimuli to compare with.")] = 200,
    references_from: Annotated[Source, typer.Option("--references-from", help="What they are.")] = Source.data,
    seed: Seed = 0,
    out: Out = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """The image, or clip, of a given contrast that excites each unit of the twin most, by gradient ascent.

    Its rate is shown beside that to mean grey and to the best of many recorded or noise stimuli of the same contrast.

    \b
    Examples:
      vctrain analyze mei runs/RUN --cids 3,17 --out results
      vctrain analyze mei runs/RUN --session Allen_2022-01-03 --movie --out results
      vctrain analyze mei runs/RUN --contrast 0.2 --references-from noise --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    asked = _asked(context.params, out, "mei")
    from vctrain.evaluation.analyses.mei import Ascent
    from vctrain.evaluation.analyses.mei import mei as find

    ascent = Ascent(movie, contrast, steps, starts, references, references_from.value, seed)
    _finish(find(checkpoint, asked, ascent), out)


@app.command("ablate-behavior")
def ablate_behavior(
    context: typer.Context,
    checkpoint: Target,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    split: OnSplit = options.Split.val,
    types: options.Types = None,
    session: Sessions = None,
    cids: Cids = None,
    shuffles: Annotated[int, typer.Option("--shuffles", metavar="N", help="Permutations of trials.")] = 4,
    replicates: Annotated[
        int, typer.Option("--replicates", metavar="N", help="Resamplings of trials for 95 % intervals.")
    ] = 2000,
    seed: Seed = 0,
    out: Out = None,
    accelerator: options.OnAccelerator = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """What behaviour adds: bits per spike with it, with its mean, and with that of other trials.

    \b
    Examples:
      vctrain analyze ablate-behavior runs/RUN
      vctrain analyze ablate-behavior runs/RUN --types backimage --shuffles 10 --out results
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    asked = _asked(context.params, out, "ablate-behavior")
    from vctrain.evaluation.analyses.behaviour import ablate_behavior as find

    _finish(find(checkpoint, asked, shuffles=shuffles, replicates=replicates, seed=seed), out)


def _only_in_silico(context: typer.Context) -> None:
    """UsageError for an option that recorded gratings have no use for."""
    for name in ("motion", "directions", "frequencies", "phases", "hertz", "contrast"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name} is for gratings shown to the twin", hint="add --in-silico")


def _asked(given: dict[str, Any], out: Path | None, name: str) -> Asked:
    """What the options that all verbs share say; UsageError if a file of ``--out`` exists already."""
    from vctrain.evaluation.analyses.chosen import Asked
    from vctrain.evaluation.analyses.findings import check_folder
    from vctrain.evaluation.evaluate import Question

    if out is not None:
        check_folder(out, name)
    sessions = options.split_list(given["session"])
    if sessions == []:
        raise UsageError("--session names no session", hint="such as --session Allen_2022-01-03")
    return Asked(
        Question(**options.question(given)), None if sessions is None else tuple(sessions), _numbers(given["cids"])
    )


def _numbers(text: str | None) -> tuple[int, ...] | None:
    """The cids of ``1,2``; None stays None."""
    items = options.split_list(text)
    if items is None:
        return None
    if not items or not all(item.isdecimal() for item in items):
        raise UsageError(f"--cids {text}: not a list of numbers", hint="such as --cids 3,17")
    return tuple(dict.fromkeys(int(item) for item in items))


def _finish(findings: Findings, out: Path | None) -> None:
    """Show what was found, and write it."""
    written: list[Path] = []
    if out is not None:
        from vctrain.evaluation.analyses.findings import write
        from vctrain.evaluation.analyses.pictures import draw

        written = write(findings, out, draw)
    result = findings.plain()
    for text in result["notes"]:
        console.note(text)
    if written:
        console.note(f"wrote {', '.join(str(path) for path in written)}")
    if console.json_mode():
        console.emit_json({"ok": True, "command": f"analyze {findings.name}", **result, "files": written})
        return
    show(findings.name, result)
