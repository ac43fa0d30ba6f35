"""How does an NWB file become a session: `import_nwb`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vctrain.config.nwb import NwbImport
from vctrain.data.inspection.findings import counted, listed
from vctrain.data.making.binning import Times
from vctrain.data.making.recording import Made, make
from vctrain.data.making.saving import SavedSession, Tell, report_of, write_all
from vctrain.data.making.writing import refuse_existing
from vctrain.data.nwb.file import opened
from vctrain.data.nwb.gaze import Gaze, gaze_of
from vctrain.data.nwb.stimuli import Presented, chosen, presented, stimuli_of
from vctrain.data.nwb.tables import UnitsFound, blinks_of, trials_of, units_of
from vctrain.errors import ContractError, UsageError


@dataclass(frozen=True)
class NwbReport:
    """What was found in an NWB file, and what was made of it."""

    file: Path
    out: Path
    session: str
    found: Mapping[str, str]
    """In words, by what it is used for."""
    missing: tuple[str, ...]
    """What was not found, and what that means."""
    saved: tuple[SavedSession, ...]
    """One a stimulus; with `written` False what would be saved."""
    notes: tuple[str, ...]
    written: bool


@dataclass(frozen=True)
class _Source:
    """What all stimuli of a file share."""

    session: str
    units: UnitsFound
    trials: Times | None
    gaze: Gaze | None
    blinks: list[Times]
    origin: dict[str, Any]


def import_nwb(
    path: str | Path,
    out: str | Path,
    options: NwbImport | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Tell = lambda done, total: None,
) -> NwbReport:
    """Write the stimuli of an NWB file as ``out/SESSION/TYPE.dset``, as `options` ask for; all of them or none.

    Images are read and written in pieces. With `dry_run` nothing is written. `tell` is told how many frames were
    written, of how many. Raises ContractError for a file that cannot be read or holds no stimulus of images and no
    units, UsageError for options that do not fit it and files that are there already, FaultError without pynwb.
    """
    path, out, options = Path(path).expanduser(), Path(out).expanduser(), options or NwbImport()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", hint="name a folder for the session folders")
    with opened(path) as nwb:
        found: dict[str, str] = {}
        missing: list[str] = []
        notes: list[str] = []
        stimuli = [presented(name, series, options) for name, series in chosen(nwb, options.stimulus).items()]
        source = _source(path, nwb, options, found, missing, notes)
        types = _types(stimuli, options)
        _alike(stimuli)
        recordings: list[tuple[Made, Path]] = []
        for kind, stimulus in types.items():
            target = out / source.session / f"{kind}.dset"
            refuse_existing(target, overwrite)
            found[f"type {kind}"] = stimulus.what if kind == stimulus.name else f"{stimulus.name}, {stimulus.what}"
            recordings.append((_made(kind, stimulus, source), target))
            notes += stimulus.notes
        if not dry_run:
            write_all(recordings, overwrite, tell)
        saved = tuple(report_of(made, target) for made, target in recordings)
    return NwbReport(path, out, source.session, found, tuple(missing), saved, tuple(notes), not dry_run)


def _source(
    path: Path, nwb: Any, options: NwbImport, found: dict[str, str], missing: list[str], notes: list[str]
) -> _Source:
    """What is not the stimulus, told in `found`, `missing` and `notes`."""
    units = units_of(nwb, options.where)
    n = len(units.rows)
    found["units"] = counted(n, "unit") if n == units.n_all else f"{n} of {counted(units.n_all, 'unit')}"
    if "obs_intervals" in units.table.colnames:
        notes.append("units: obs_intervals are not read; frames count for a unit also where it was not observed")
    named = None if options.no_trials else trials_of(nwb, options.trials, notes)
    if named is not None:
        found["trials"] = f"{counted(len(named[1]), 'trial')} in {named[0]}"
    elif not options.no_trials:
        others = [name for name in nwb.intervals or {} if name != "trials"]
        instead = f"; --trials NAME takes one of {listed(others)}" if others else ""
        missing.append(f"no trials: blocks of 10 s stand for them{instead}")
    gaze = gaze_of(nwb, options)
    blinks: list[Times] = []
    if gaze is not None:
        found["eye"] = gaze.what
        notes += gaze.notes
        names, blinks = blinks_of(nwb)
        if names:
            found["blinks"] = f"{counted(sum(map(len, blinks)), 'interval')} in {listed(names)}"
        else:
            missing.append("no intervals of blinks: frames are invalid only where the gaze is lost")
    elif not options.no_eye:
        missing.append("no eye tracking (a SpatialSeries in an EyeTracking): the session is used without behaviour")
    _, others_shown = stimuli_of(nwb)
    if others_shown:
        notes.append(f"not made of images, left out: {', '.join(f'{n} ({k})' for n, k in others_shown.items())}")
    origin = {"file": path.name, "identifier": str(nwb.identifier)}
    return _Source(_session(nwb, options), units, None if named is None else named[1], gaze, blinks, origin)


def _made(kind: str, stimulus: Presented, source: _Source) -> Made:
    eyepos = valid = None
    if source.gaze is not None:
        eyepos = source.gaze.at(stimulus.times)
        if not np.isfinite(eyepos).all(axis=1).any():
            raise ContractError(
                f"eye tracking {source.gaze.name} has no gaze at any time of {stimulus.name}",
                hint="choose another with --eye, or leave it out with --no-eye",
            )
        valid = np.ones(len(stimulus.times), bool)
        for start, stop in (interval for table in source.blinks for interval in table):
            valid[np.searchsorted(stimulus.times, start) : np.searchsorted(stimulus.times, stop)] = False
    return make(
        source.session,
        kind,
        stimulus,
        spike_times=source.units.spike_times(),
        unit_ids=source.units.ids,
        frame_times=stimulus.times,
        trials=source.trials,
        eyepos=eyepos,
        valid=valid,
        metadata={"nwb": {**source.origin, "stimulus": stimulus.name}},
    )


def _session(nwb: Any, options: NwbImport) -> str:
    """Its name, from the subject and the date if it is not given."""
    if options.session is not None:
        return options.session
    subject = None if nwb.subject is None else nwb.subject.subject_id
    if not subject or not (subject := as_file_name(str(subject))):
        raise ContractError("the file names no subject", hint="name the session: --session SUBJECT_YYYY-MM-DD")
    return f"{subject}_{nwb.session_start_time.date().isoformat()}"


def _types(stimuli: Sequence[Presented], options: NwbImport) -> dict[str, Presented]:
    types: dict[str, Presented] = {}
    for stimulus in stimuli:
        kind = options.type or as_file_name(stimulus.name)
        if kind in types or not kind:
            raise UsageError(
                f"stimulus {stimulus.name} needs a name of its own", hint="import it alone, with --type NAME"
            )
        types[kind] = stimulus
    return types


def _alike(stimuli: Sequence[Presented]) -> None:
    """Types of a session share one size and one rate."""
    first = stimuli[0]
    rates = [1 / float(np.median(np.diff(stimulus.times))) for stimulus in stimuli]
    for stimulus, rate in zip(stimuli[1:], rates[1:], strict=True):
        if stimulus.shape[1:] != first.shape[1:]:
            sizes = [f"{one.name} is {one.shape[1]}x{one.shape[2]}" for one in (first, stimulus)]
            raise UsageError(
                f"{', '.join(sizes)}; types of a session share one size",
                hint="import them one by one, with their own --crop and --shrink, or into sessions of their own",
            )
        if abs(rate - rates[0]) > 0.01 * rates[0]:
            raise UsageError(
                f"{first.name} runs at {rates[0]:.4g} Hz, {stimulus.name} at {rate:.4g} Hz; types share one rate",
                hint="hold images at one rate with --rate HZ, or import them into sessions of their own",
            )


def as_file_name(name: str) -> str:
    """`name` without what does not belong in the name of a file.

    >>> as_file_name("natural movie/one")
    'natural_movie_one'
    """
    return re.sub(r"[^\w.+-]+", "_", name).strip("._")
