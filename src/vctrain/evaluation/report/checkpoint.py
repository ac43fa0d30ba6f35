"""What does a report show of one checkpoint: responses, learned parts, training?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vctrain.evaluation import run_sheet
from vctrain.evaluation.evaluate import Question, open_for
from vctrain.evaluation.inspection import number_in, rows_of
from vctrain.evaluation.report import averages, learned, stretches, tables, traces
from vctrain.evaluation.report.material import UNITS, Responses, best_units, responses, scales_of, spread
from vctrain.evaluation.report.page import Picture, Section, Table, picture
from vctrain.evaluation.report.parts import Kernels, kernels_of, parts_of
from vctrain.evaluation.report.triggered import NOISE, is_noise
from vctrain.models.build import AnyTwin
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.runs.checkpoints import read_checkpoint
from vctrain.runs.directory import read_run
from vctrain.training.engine import device_of, resolve_accelerator

NO_SPIKES = "No session has a unit with a spike on this split."
ABOUT_AVERAGES = (
    "Mean contrast before spikes (data) and before predicted spikes (twin: frames weighted by its rates), less the "
    "mean, over the same frames of noise stimuli. Maps are of the lag at which the data's average is strongest, each "
    "on a scale of its own (± its largest contrast; red is brighter); curves are of its strongest pixel, scaled to "
    "their largest. r is Pearson's correlation of the two averages over all lags and pixels: few spikes lower it, and "
    "units without a linear average, such as complex cells, show noise."
)
Items = list[Picture | Table | str]


def checkpoint_sections(label: str, result: Mapping[str, Any], target: str, question: Question) -> list[Section]:
    """The sections of one checkpoint, each of which says so where there is nothing to show."""
    checkpoint = read_checkpoint(target)
    matched = {session.name: session for session in open_for(checkpoint, question).sessions}
    device = device_of(resolve_accelerator(question.accelerator))
    twin = checkpoint.build()
    units = {name: best_units(result["sessions"][name]) for name in spread(result)}
    twin = twin.to(device)
    found = [
        responses(twin, matched[name], question.split, of, device, scales_of(result, name, of))
        for name, of in units.items()
    ]
    twin = twin.to("cpu")
    rate_hz = next(iter(matched.values())).rate_hz
    names = [name for name in twin.names if name in matched]
    return [
        Section(f"{label}: {checkpoint.path}", [_chosen(result, found)]),
        Section("Predicted and observed rates", _trials(label, found), 3),
        Section("Repeats", _repeats(label, found), 3),
        Section("Spike-triggered averages", _averages(label, found, twin.reads_stimulus), 3),
        Section("Temporal kernels", _kernels(label, twin, rate_hz), 3),
        Section("Readout positions", _fields(label, twin, names), 3),
        Section("Adapters", _adapters(label, twin, names), 3),
        Section("Training", _training(label, checkpoint.path), 3),
    ]


def _chosen(result: Mapping[str, Any], found: Sequence[Responses]) -> str:
    n = len(result["sessions"])
    which = "all" if len(found) == n else f"{len(found)} of {n}, evenly spaced from the best to the worst,"
    said = (
        f"Responses are shown of {which} sessions and at most {UNITS} units of each, those with most bits per spike, "
        "best first; averages over so chosen units say little about the others."
    )
    rescaled = " Rates have the gain and offset of each unit that fit its training frames."
    return said if result.get("rescaled") is None else said + rescaled


def _name(label: str, what: str, session: str) -> str:
    return f"{label.lower()}-{what}-{re.sub(r'[^A-Za-z0-9._-]+', '_', session)}"


def _trials(label: str, found: Sequence[Responses]) -> Items:
    items: Items = []
    for session in found:
        if not session.stretches:
            items.append(f"{session.session}: no trial of the split has a scored frame.")
            continue
        n = min(traces.TRIAL_UNITS, len(session.cids))
        said = f"Spikes per second of the best units ({n}) over seconds from the first scored frame of the trial."
        items.append(picture(_name(label, "trials", session.session), session.session, said, traces.trials(session)))
    if not items:
        return [NO_SPIKES]
    about = (
        f"The longest scored trial of each type of stimulus (of {stretches.KINDS} types at most), its first "
        f"{stretches.SECONDS:g} s. Counts are smoothed by a Gaussian with a standard deviation of "
        f"{1000 * traces.TRIAL_SECONDS:g} ms; rates are as the twin predicts them."
    )
    return [about, *items]


def _repeats(label: str, found: Sequence[Responses]) -> Items:
    items: Items = []
    none = [session.session for session in found if not session.repeated]
    for session in found:
        unseen = [kind for kind in session.repeated if kind not in {psth.kind for psth in session.psths}]
        if unseen:
            items.append(f"{session.session}: no repeat of {', '.join(unseen)} is in this split.")
        for psth in session.psths:
            said = f"Mean over {psth.n_repeats} repeats in spikes per second over seconds in the sequence."
            name = _name(label, f"psth-{psth.kind}", session.session)
            title = f"{session.session}, {psth.kind}"
            items += [picture(name, title, said, traces.psths(session, psth)), tables.repeats(session, psth)]
    if any(isinstance(item, Picture) for item in items):
        about = (
            f"Means over the repeats of a sequence, their first {traces.PSTH_SHOWN:g} s, both smoothed by a Gaussian "
            f"with a standard deviation of {1000 * traces.PSTH_SECONDS:g} ms. The numbers are of unsmoothed bins of "
            "the whole sequence, twin and oracle on the same entries; docs/evaluation.md defines them."
        )
        items.insert(0, about)
    if none:
        items.append(f"No repeats (psth_inds) in the recordings of {', '.join(none)}.")
    return items or [NO_SPIKES]


def _averages(label: str, found: Sequence[Responses], reads_stimulus: bool) -> Items:
    if not reads_stimulus:
        return ["This twin reads no stimulus, so there is nothing to average before its spikes."]
    items: Items = []
    for session in found:
        if session.triggered is None:
            noise = [kind for kind in session.types if is_noise(kind)]
            why = f"no frame of {', '.join(noise)} is in this split" if noise else "none of its stimuli is noise"
            items.append(
                f"{session.session}: {why} (types {', '.join(session.types)}; noise has one of {', '.join(NOISE)} in "
                "its name)."
            )
            continue
        name = _name(label, "sta", session.session)
        maps = session.triggered
        said = (
            f"Contrast before spikes in {maps.frames:,} frames of {', '.join(maps.kinds)}: data, twin, and both "
            "(black: data, blue: twin) over ms from the spike."
        )
        items.append(picture(name, session.session, said, averages.averages(session, maps)))
    if any(isinstance(item, Picture) for item in items):
        items.insert(0, ABOUT_AVERAGES)
    return items or [NO_SPIKES]


def _kernels(label: str, twin: AnyTwin, rate_hz: float) -> Items:
    found = kernels_of(twin)
    if not isinstance(found, Kernels):
        return [found]
    n = len(found.values)
    which = f"The first {learned.MOST_KERNELS} of {n}" if n > learned.MOST_KERNELS else f"The {n}"
    said = f"{which} {found.about}: weight (no unit) over ms before the frame."
    return [picture(f"{label.lower()}-kernels", "Temporal kernels", said, learned.kernels(found, rate_hz))]


def _fields(label: str, twin: AnyTwin, names: Sequence[str]) -> Items:
    if not twin.reads_stimulus:
        return ["This twin reads no stimulus, so its units have no place."]
    parts = [part for part in parts_of(twin, names) if part.masks]
    placeless = [name for name in names if name not in {part.session for part in parts}]
    items: Items = []
    if parts:
        most = learned.MOST_FIELDS
        which = f"the first {most} of {len(parts)} sessions" if len(parts) > most else "each session"
        said = (
            f"Centres (dots) and outlines at one standard deviation of the units' masks in the stimulus patch of "
            f"{which}, in halves of the patch from its middle; solid: the patch, dashed: what the core's grid covers."
        )
        if isinstance(twin, LegacyTwin):
            said += " Layers of earlier systems crop off centre, so places are right to about a pixel."
        items.append(picture(f"{label.lower()}-readouts", "Readout positions", said, learned.fields(parts)))
    if placeless:
        items.append(f"Units have no place (mean over the whole map): {', '.join(placeless)}.")
    return items


def _adapters(label: str, twin: AnyTwin, names: Sequence[str]) -> Items:
    if not twin.reads_stimulus:
        return ["This twin reads no stimulus, so it has no adapters."]
    parts = [part for part in parts_of(twin, names) if part.alignment is not None and part.alignment.learned]
    bare = [name for name in names if name not in {part.session for part in parts}]
    items: Items = []
    if parts:
        said = (
            "What of the stimulus patch reaches the core's grid, and scale (1: the whole patch) and shift of each "
            "session, in halves of the patch (filled: down, open: across), and the blur in stimulus pixels."
        )
        name = f"{label.lower()}-adapters"
        items += [picture(name, "Adapters", said, learned.adapters(parts)), tables.alignments(parts)]
    if bare:
        items.append(f"Without an adapter, the stimulus is the grid: {', '.join(bare)}.")
    return items


def _training(label: str, path: Path) -> Items:
    """The curves of the run that holds ``path``."""
    folder = path.absolute().parent.parent
    if path.absolute().parent.name != "checkpoints" or not (folder / "run.json").is_file():
        return ["The checkpoint lies in no run directory, so its training is not known here."]
    rows = rows_of(folder)
    if not rows:
        return [f"The run {folder} has no validation in its metrics.csv."]
    run = read_run(folder)
    facts = {**run, "run": str(folder), "steps_planned": None}
    for name in ("state", "step", "best_score", "preset", "created"):
        facts.setdefault(name, None)
    best = number_in(rows[-1].get("step"))
    said = (
        f"Bits per spike on validation trials, training loss and learning rate over optimizer steps, of {len(rows)} "
        f"validations up to step {best:.0f}; and the sessions at the best one."
    )
    return [picture(f"{label.lower()}-training", "Training curves", said, run_sheet.draw(facts, rows))]
