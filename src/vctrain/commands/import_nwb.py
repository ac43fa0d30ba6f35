"""``vctrain import-nwb``: write a session from an NWB file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vctrain import console
from vctrain.commands import options
from vctrain.commands.render import duration
from vctrain.config.nwb import NwbImport
from vctrain.config.problems import check
from vctrain.errors import UsageError
from vctrain.progress import TrainingProgress

if TYPE_CHECKING:
    from vctrain.data.making import SavedSession
    from vctrain.data.nwb import NwbReport

File = Annotated[Path, typer.Argument(metavar="FILE.nwb", help="NWB 2 file (HDF5).")]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="Folder of session folders; OUT/SESSION/TYPE.dset is written.")
]
Session = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Session [default: SUBJECT_YYYY-MM-DD of the file].")
]
Stimulus = Annotated[
    list[str] | None,
    typer.Option("--stimulus", metavar="NAME", help="Stimulus to take, where there are several. Repeatable."),
]
Type = Annotated[
    str | None, typer.Option("--type", metavar="NAME", help="Stimulus type [default: name of the stimulus].")
]
Trials = Annotated[
    str | None, typer.Option("--trials", metavar="NAME", help="Intervals that are the trials [default: trials].")
]
NoTrials = Annotated[bool, typer.Option("--no-trials", help="Leave the trials out.")]
Eye = Annotated[
    str | None, typer.Option("--eye", metavar="NAME", help="Eye tracking to take, where there is a choice.")
]
NoEye = Annotated[bool, typer.Option("--no-eye", help="Leave eye tracking out.")]
Degrees = Annotated[
    float | None,
    typer.Option("--degrees-per-unit", metavar="X", help="Degrees of visual angle in one unit (pixel) of it."),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=A,B", help="Units with these values in a column only. Repeatable."),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="HZ", help="Frames a second, images held [default: a frame for each time]."),
]
Crop = Annotated[
    str | None, typer.Option("--crop", metavar="TOP,LEFT,HEIGHT,WIDTH", help="Part of the images to keep, in pixels.")
]
Shrink = Annotated[int, typer.Option("--shrink", metavar="N", help="Average squares of N by N pixels into one.")]
Transpose = Annotated[bool, typer.Option("--transpose", help="Images are stored (x, y), not (row, column).")]
Grey = Annotated[
    str | None, typer.Option("--grey", metavar="LOW,HIGH", help="Values of black and white [default: by their range].")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace recordings that are there.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what is in FILE and what would be written; write nothing.")
]


def import_nwb(
    file: File,
    out: Out,
    session: Session = None,
    stimulus: Stimulus = None,
    type: Type = None,
    trials: Trials = None,
    no_trials: NoTrials = False,
    eye: Eye = None,
    no_eye: NoEye = False,
    degrees_per_unit: Degrees = None,
    where: Where = None,
    rate: Rate = None,
    crop: Crop = None,
    shrink: Shrink = 1,
    transpose: Transpose = False,
    grey: Grey = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a session from an NWB file: the stimulus (images stored in it, or an index into them), the spikes of its
    units, its trials, and eye tracking if there is any. Says what it found, and what not.

    \b
    Examples:
      vctrain import-nwb sub-M1.nwb sessions --dry-run
      vctrain import-nwb sub-M1.nwb sessions --where quality=good
      vctrain import-nwb sub-M1.nwb sessions --stimulus natural_images --rate 60 --shrink 8 --type images
      vctrain import-nwb sub-M1.nwb sessions --eye left_eye --degrees-per-unit 0.02
      vctrain inspect sessions/M1_2024-05-06
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    asked = {
        "session": session,
        "stimulus": tuple(stimulus or ()),
        "type": type,
        "trials": trials,
        "no_trials": no_trials,
        "eye": eye,
        "no_eye": no_eye,
        "degrees_per_unit": degrees_per_unit,
        "where": _columns(where or []),
        "rate": rate,
        "crop": _numbers("--crop", crop, 4),
        "shrink": shrink,
        "transpose": transpose,
        "grey": _numbers("--grey", grey, 2),
    }
    chosen = check(NwbImport, asked, lambda path: f"--{path.partition('.')[0].replace('_', '-')}")
    from vctrain.data.nwb import import_nwb as write_session

    progress = _Progress()
    try:
        report = write_session(file, out, chosen, overwrite=overwrite, dry_run=dry_run, tell=progress)
    finally:
        progress.stop()
    if console.json_mode():
        console.emit_json({"ok": True, "command": "import-nwb", **_as_object(report, chosen)})
        return
    _show(report)


def _columns(asked: list[str]) -> dict[str, tuple[str, ...]]:
    """``["quality=good,mua"]`` as ``{"quality": ("good", "mua")}``; UsageError for another form."""
    columns: dict[str, tuple[str, ...]] = {}
    for text in asked:
        column, equals, values = text.partition("=")
        named = options.split_list(values) or []
        if not equals or not column.strip() or not named:
            raise UsageError(f"--where {text}: expected COLUMN=VALUE", hint="such as --where quality=good")
        if column.strip() in columns:
            raise UsageError(
                f"--where names {column.strip()} twice", hint=f"give its values together: {column.strip()}=A,B"
            )
        columns[column.strip()] = tuple(named)
    return columns


def _numbers(option: str, text: str | None, count: int) -> list[str] | None:
    """The parts of a list of `count` numbers, which the settings check; UsageError for another number of parts."""
    parts = options.split_list(text)
    if parts is not None and len(parts) != count:
        raise UsageError(f"{option} {text}: expected {count} numbers with commas between", hint="see --help")
    return parts


def _as_object(report: NwbReport, chosen: NwbImport) -> dict[str, Any]:
    return {
        "file": report.file,
        "out": report.out,
        "session": report.session,
        "written": report.written,
        "settings": chosen.model_dump(mode="json"),
        "found": dict(report.found),
        "missing": list(report.missing),
        "recordings": [_recording(saved) for saved in report.saved],
        "notes": list(report.notes),
    }


def _recording(saved: SavedSession) -> dict[str, Any]:
    return {
        "path": saved.path,
        "type": saved.type,
        "frames": saved.frames,
        "size": list(saved.size),
        "rate_hz": saved.rate_hz,
        "units": saved.units,
        "spikes": saved.spikes,
        "spikes_outside": saved.spikes_outside,
        "spikes_in_pauses": saved.spikes_in_pauses,
        "trials": saved.trials,
        "frames_without_trial": saved.frames_without_trial,
        "frames_invalid": saved.frames_invalid,
        "notes": list(saved.notes),
    }


_COLUMNS = ["type", "frames", "lasts", "Hz", "size", "units", "spikes", "outside", "trials", "valid"]


def _show(report: NwbReport) -> None:
    """What was found and not, the recordings, and where they are."""
    wide = max(map(len, report.found))
    console.result(f"{report.file}, session {report.session}")
    for what, text in report.found.items():
        console.result(f"found    {what:<{wide}}  {text}")
    for text in report.missing:
        console.result(f"missing  {text}")
    console.result("")
    console.table("", _COLUMNS, [_row(saved) for saved in report.saved])
    for note in [*report.notes, *(f"{saved.type}: {note}" for saved in report.saved for note in saved.notes)]:
        console.note(note)
    console.result("")
    if not report.written:
        console.result("nothing written (--dry-run)")
        return
    for saved in report.saved:
        console.result(f"wrote       {saved.path}")
    console.result(f"look at it  vctrain inspect {report.saved[0].path.parent}")
    console.result(f"train with  vctrain train --preset gaborium --types {report.saved[0].type} --data {report.out}")


def _row(saved: SavedSession) -> list[str]:
    return [
        saved.type,
        f"{saved.frames:,}",
        duration(saved.seconds),
        f"{saved.rate_hz:g}",
        f"{saved.size[0]}x{saved.size[1]}",
        str(saved.units),
        f"{saved.spikes:,}",
        f"{saved.spikes_outside + saved.spikes_in_pauses:,}",
        "-" if saved.trials is None else str(saved.trials),
        "-" if saved.frames_invalid is None else f"{100 * (1 - saved.frames_invalid / saved.frames):.1f} %",
    ]


class _Progress:
    """Shows how many frames were written."""

    def __init__(self) -> None:
        self._bar = TrainingProgress()
        self._started = False

    def __call__(self, done: int, total: int) -> None:
        if not self._started:
            self._bar.start(total, "frames written")
            self._started = True
        self._bar.step(done, {})

    def stop(self) -> None:
        self._bar.stop()
