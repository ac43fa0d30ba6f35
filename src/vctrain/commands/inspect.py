"""``vctrain inspect``: what is in a recording, a session, a dataset config, a checkpoint or a run, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.errors import UsageError
from vctrain.progress import TrainingProgress

if TYPE_CHECKING:
    from vctrain.data.inspection.recording import Inspected

Target = Annotated[
    Path, typer.Argument(metavar="PATH", help="A .dset, session folder, dataset config, checkpoint or run.")
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Also draw a sheet: .png, .pdf or .svg.")]
Types = Annotated[str | None, typer.Option("--types", metavar="A,B", help="Of a session or config, these types only.")]
Context = Annotated[
    int, typer.Option("--context", metavar="N", min=0, help="Of a config: frames of history a model needs.")
]
DRAWN = (".png", ".pdf", ".svg")
_CAN = "a .dset file, a session folder, a dataset config (YAML, or a folder of them), a .ckpt or .pt, a run directory"


def inspect(
    path: Target,
    types: Types = None,
    data_root: options.DataRoot = None,
    context: Context = 0,
    plot: Plot = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what is in PATH and what is odd about it: units that never fire, dropped frames, lost tracking, and more.

    Data are read once, in pieces; of long movies, frames spread over the recording are looked at. Problems found do
    not make the command fail.

    \b
    Examples:
      vctrain inspect sessions/Allen_2022-02-16/gaborium.dset --plot gaborium.png
      vctrain inspect sessions/Allen_2022-02-16
      vctrain inspect sessions.yaml --context 20 --plot sheets.pdf
      vctrain inspect runs/RUN
      vctrain inspect runs/RUN/checkpoints/best.ckpt --json
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    kind = kind_of(path)
    _refuse_what_has_no_effect(kind, path, types, data_root, context, plot)
    result: dict[str, Any]
    if kind in ("checkpoint", "run"):
        result = _of_model(kind, path, plot)
    else:
        result = _of_data(kind, path, options.types_of(types), data_root, context, plot)
    if console.json_mode():
        console.emit_json({"ok": True, "command": "inspect", "kind": kind, **result})
        return
    from vctrain.commands.inspected import show

    show(kind, result)


def kind_of(path: Path) -> str:
    """``dset``, ``session``, ``config``, ``checkpoint`` or ``run``; UsageError, saying what can be inspected."""
    from vctrain.config.locate import is_session_folder

    if path.is_dir():
        if (path / "run.json").is_file():
            return "run"
        if any((path / "checkpoints" / name).is_file() for name in ("best.ckpt", "last.ckpt")):
            return "checkpoint"
        if is_session_folder(path):
            return "session"
        if any(path.glob("*.yaml")) or any(child.is_dir() and is_session_folder(child) for child in path.iterdir()):
            return "config"
    suffixes = {".dset": "dset", ".yaml": "config", ".yml": "config", ".ckpt": "checkpoint", ".pt": "checkpoint"}
    if path.is_file() and path.suffix.lower() in suffixes:
        return suffixes[path.suffix.lower()]
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint=f"inspect takes {_CAN}")
    raise UsageError(f"{path} is nothing that inspect knows", hint=f"inspect takes {_CAN}")


def _refuse_what_has_no_effect(
    kind: str, path: Path, types: str | None, data_root: str | None, context: int, plot: Path | None
) -> None:
    for option, given, kinds in (
        ("--types", types is not None, ("session", "config")),
        ("--data-root", data_root is not None, ("config",)),
        ("--context", context > 0, ("config",)),
        ("--plot", plot is not None, ("dset", "session", "config", "run")),
    ):
        if given and kind not in kinds:
            hint = f"it is for {' and '.join(kinds)} paths"
            if option == "--plot":
                hint = "give the run directory to draw how the training went"
            raise UsageError(f"{option} has no effect on {path}, a {kind}", hint=hint)
    if plot is None:
        return
    if plot.suffix.lower() not in DRAWN:
        raise UsageError(f"--plot {plot}: cannot draw {plot.suffix or 'a file without suffix'}", hint=" ".join(DRAWN))
    if not plot.parent.is_dir():
        raise UsageError(f"--plot {plot}: {plot.parent} is not a folder", hint=f"mkdir -p {plot.parent}")


def _of_model(kind: str, path: Path, plot: Path | None) -> dict[str, Any]:
    from vctrain.evaluation.inspection import inspect_checkpoint, inspect_run

    facts, findings = inspect_run(path) if kind == "run" else inspect_checkpoint(path)
    if plot is not None:
        from vctrain.evaluation.run_sheet import write_run_sheet

        write_run_sheet(plot, facts)
    problems = [problem.as_dict() for problem in findings.problems]
    return {**facts, "plot": plot, "notes": findings.notes, "problems": problems}


def _of_data(
    kind: str, path: Path, types: Sequence[str] | None, data_root: str | None, context: int, plot: Path | None
) -> dict[str, Any]:
    from vctrain.config.dataset_schema import DatasetFile
    from vctrain.data.inspection.recording import inspect_dset
    from vctrain.data.inspection.sessions import inspect_config, inspect_session

    split = DatasetFile()
    usual = split.train_val_split, split.seed
    progress = _Progress()
    try:
        if kind == "dset":
            recording = inspect_dset(path, progress)
            facts, notes, problems = recording.facts, recording.findings.notes, recording.findings.problems
            sheets = [(recording, *usual)]
        elif kind == "session":
            session = inspect_session(path, types, progress)
            facts, notes, problems = {"path": str(path), **session.facts}, session.notes, session.problems
            if any(path.glob("*.yaml")):
                notes = [*notes, f"{path}: taken for a session folder; a dataset config in it is inspected by its name"]
            sheets = [(recording, *usual) for recording in session.recordings]
        else:
            sessions = inspect_config(path, data_root=data_root, types=types, context=context, tell=progress)
            facts = {"path": str(path), "context": context, "sessions": [each.facts for each in sessions]}
            notes = [note for each in sessions for note in each.notes]
            problems = [problem for each in sessions for problem in each.problems]
            sheets = [
                (recording, each.spec.train_val_split, each.spec.seed)
                for each in sessions
                if each.spec is not None
                for recording in each.recordings
            ]
    finally:
        progress.stop()
    if plot is not None:
        notes = [*notes, *_draw(plot, sheets)]
    usable = not any(problem.blocks for problem in problems)
    shown = [problem.as_dict() for problem in problems]
    return {**facts, "usable": usable, "plot": plot, "notes": notes, "problems": shown}


def _draw(plot: Path, sheets: Sequence[tuple[Inspected, Sequence[float], int]]) -> list[str]:
    from vctrain.evaluation.recording_sheet import write_sheets

    drawn = write_sheets(plot, sheets)
    if drawn == len(sheets):
        return []
    first = sheets[0][0]
    return [f"{plot} shows {first.session} {first.kind} only; a .pdf holds a page for each of {len(sheets)} recordings"]


class _Progress:
    """Shows how many MiB were read."""

    def __init__(self) -> None:
        self._bar = TrainingProgress()
        self._started = False

    def __call__(self, done: int, total: int, what: str) -> None:
        if not self._started:
            self._bar.start(max(total >> 20, 1), "MiB read")
            self._started = True
        self._bar.step(done >> 20, {"in": what})

    def stop(self) -> None:
        self._bar.stop()
