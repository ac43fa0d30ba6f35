"""What is in a session folder or a dataset config, and do its recordings agree?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vctrain.config.datasets import SessionSpec, load_dataset_configs
from vctrain.config.locate import recordings_in
from vctrain.data.dset import Dset, open_dset
from vctrain.data.inspection.findings import Findings, Problem, Reading, Tell, counted, listed
from vctrain.data.inspection.recording import Inspected, inspect_recording, size_of
from vctrain.data.inspection.units import judge_dead
from vctrain.data.opening import open_sessions
from vctrain.data.overlap import overlap_of
from vctrain.data.rates import training_rates
from vctrain.data.report import session_report
from vctrain.data.session import Session
from vctrain.data.splits import SPLITS
from vctrain.errors import ContractError, UsageError


@dataclass(frozen=True)
class InspectedSession:
    """The recordings of one session, and what is said of them together."""

    name: str
    recordings: tuple[Inspected, ...]
    facts: dict[str, Any]
    findings: Findings
    """Of the session as a whole; those of its recordings come with them."""
    spec: SessionSpec | None = None

    @property
    def problems(self) -> list[Problem]:
        """Those of the session and of its recordings; first those that block."""
        of = [*self.findings.problems, *(p for recording in self.recordings for p in recording.findings.problems)]
        return sorted(of, key=lambda problem: not problem.blocks)

    @property
    def notes(self) -> list[str]:
        """Those of the session, then those of its recordings."""
        return [*self.findings.notes, *(n for recording in self.recordings for n in recording.findings.notes)]


def inspect_session(folder: Path, types: Sequence[str] | None, tell: Tell) -> InspectedSession:
    """The recordings of a session folder, and how they agree.

    Raises ContractError if one cannot be read, UsageError for a type that is not there.
    """
    files = recordings_in(folder)
    absent = [kind for kind in types or () if kind not in files]
    if absent:
        raise UsageError(f"{folder} has no {listed(absent)} recording", hint=f"types there: {listed(files)}")
    dsets = {kind: open_dset(files[kind]) for kind in types or files}
    name = folder.absolute().name
    return _judged(name, dsets, None, Reading(sum(map(size_of, dsets.values())), tell))


def inspect_config(
    path: Path, *, data_root: str | None, types: Sequence[str] | None, context: int, tell: Tell
) -> list[InspectedSession]:
    """The sessions of a dataset config, or of a folder of them, as a model with `context` frames of history sees them.

    Raises UsageError for a config, and ContractError for a recording, that cannot be read; a session that vctrain
    refuses for what it holds is a problem that blocks.
    """
    specs = load_dataset_configs(path, data_root=data_root, types=types)
    dsets = [{kind: open_dset(file) for kind, file in spec.files.items()} for spec in specs]
    reading = Reading(sum(size_of(dset) for of in dsets for dset in of.values()), tell)
    sessions = []
    for spec, of in zip(specs, dsets, strict=True):
        judged = _judged(spec.name, of, spec.cids, reading)
        sessions.append(_as_configured(judged, spec, context))
    _compare_sessions(sessions)
    return sessions


def _judged(name: str, dsets: Mapping[str, Dset], cids: tuple[int, ...] | None, reading: Reading) -> InspectedSession:
    """Each type by itself, and all of them together."""
    recordings = tuple(inspect_recording(dset, name, kind, cids, reading) for kind, dset in dsets.items())
    findings = Findings(name)
    first = recordings[0]
    for other in recordings[1:]:
        _compare_types(first, other, findings)
    for one, other in combinations(recordings, 2):
        if one.recording is not None and other.recording is not None:
            overlap = overlap_of(other.recording, one.recording)
            if overlap is not None:
                findings.problem(
                    f"{other.kind} {overlap}", "keep one, or train and validation trials share frames", blocks=True
                )
    counts = [recording.counts for recording in recordings if recording.counts is not None]
    silent: list[int] = []
    if counts and len({sums.spikes.shape[1] for sums in counts}) == 1:
        total = np.sum([sums.spikes.sum(axis=0) for sums in counts], axis=0)
        chosen = [cid for cid in (range(len(total)) if cids is None else cids) if cid < len(total)]
        silent = judge_dead(total[chosen], chosen, findings, "all types" if len(recordings) > 1 else first.kind)
        for recording in recordings:
            units = recording.facts["units"]
            only = sorted(set(units["silent"] if units else ()) - set(silent))
            if only:
                findings.note(f"{counted(len(only), 'unit')} never fire in {recording.kind} alone (cid {listed(only)})")
    facts = {
        "session": name,
        "types": [recording.kind for recording in recordings],
        "silent": silent,
        "recordings": {recording.kind: recording.facts for recording in recordings},
    }
    return InspectedSession(name, recordings, facts, findings)


def _compare_types(first: Inspected, other: Inspected, findings: Findings) -> None:
    """Types of a session share the size of frames, the units and the rate."""
    units = [recording.facts["units"] and recording.facts["units"]["n"] for recording in (first, other)]
    for what, ours, theirs in (
        ("frames of size", other.facts["size"], first.facts["size"]),
        ("units:", *reversed(units)),
    ):
        if ours is not None and theirs is not None and ours != theirs:
            findings.problem(
                f"{other.kind} has {what} {_said(ours)}, {first.kind} {_said(theirs)}",
                "all types of a session share one frame size and the same units",
                blocks=True,
            )
    rates = first.rate_hz, other.rate_hz
    if rates[0] and rates[1] and abs(rates[1] - rates[0]) > 0.01 * rates[0]:
        findings.problem(
            f"{other.kind} runs at {rates[1]:g} Hz, {first.kind} at {rates[0]:g} Hz",
            "types of a session share one rate; correct rate_hz or t_bins of one, or use it as a session of its own",
            blocks=True,
        )


def _said(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_configured(judged: InspectedSession, spec: SessionSpec, context: int) -> InspectedSession:
    """What the config makes of the session, opened as training opens it (but for operations on the movie)."""
    findings = judged.findings
    facts: dict[str, Any] = judged.facts | {
        "subject": spec.subject,
        "lab": spec.lab,
        "config": None if spec.config_path is None else str(spec.config_path),
        "files": {kind: str(path) for kind, path in spec.files.items()},
        "cids": None if spec.cids is None else list(spec.cids),
        "sampling": {"source_rate": spec.source_rate, "target_rate": spec.target_rate, "factor": spec.factor},
        "transforms": {
            "stim": spec.transforms.stim_as_list(),
            "behavior": [signal.as_dict() for signal in spec.transforms.behavior],
        },
        "valid_nlags": spec.n_lags,
        "missing_pct": None if spec.missing_pct is None else spec.missing_pct.model_dump(mode="json"),
        "split": {"train_val_split": list(spec.train_val_split), "seed": spec.seed},
        "adapter": None if spec.adapter is None else spec.adapter.model_dump(mode="json"),
        "readout": None if spec.readout is None else spec.readout.model_dump(mode="json"),
        "context": context,
        "opened": None,
    }
    refused = any(problem.blocks for problem in judged.problems)
    try:
        # without the movie's operations, which may take hours, and without the note on whose history holds
        light = replace(spec, transforms=replace(spec.transforms, stim=()), n_lags=None)
        (session,) = open_sessions([light], context)
        opened = _seen(session, context)
    except ContractError as error:
        if not refused:
            findings.problem(error.message.removeprefix(f"session {spec.name}").lstrip(":, "), error.hint, blocks=True)
        findings.notes += spec.notes
        return replace(judged, facts=facts, spec=spec)
    findings.notes += [note for note in session.notes if note not in _said_before(judged)]
    if spec.transforms.stim:
        findings.note("operations on the movie are not computed here")
    gone = (opened["missing_pct"] or {}).get("units_dropped")
    if gone:
        findings.note(f"missing_pct leaves no frame of {counted(len(gone), 'unit')} (cid {listed(gone)})")
    for split, silent in opened["units_without_spikes"].items():
        fresh = [cid for cid in silent if cid not in judged.facts["silent"]]
        if fresh:
            findings.problem(
                f"{len(fresh)} of {counted(session.n_units, 'unit')} without a spike in the {split} frames "
                f"(cid {listed(fresh)})",
                f"their score on {split} is undefined; split otherwise (seed), or leave them out",
            )
    return replace(judged, facts=facts | {"cids": list(session.cids), "opened": opened}, spec=spec)


def _said_before(judged: InspectedSession) -> set[str]:
    return {note for recording in judged.recordings for note in recording.dset.notes}


def _seen(session: Session, context: int) -> dict[str, Any]:
    """What training would see of an opened session."""
    splits = SPLITS[: session.n_splits]
    report = session_report(session, context)
    return {
        "rate_hz": session.rate_hz,
        "size": [session.height, session.width],
        "behavior_dim": session.behavior_dim,
        "trials": {split: len(session.segments(split)) for split in splits},
        "split_frames": {s: int((at[:, 1] - at[:, 0]).sum()) for s in splits for at in [session.segments(s)]},
        "usable_frames": {split: session.usable(split).total for split in splits},
        "units_without_spikes": {
            split: [
                cid
                for cid, rate in zip(session.cids, training_rates(session, split).tolist(), strict=True)
                if rate == 0
            ]
            for split in splits
        },
        **{key: report[key] for key in ("frames", "dropped", "scored")},
        "missing_pct": report["missing_pct"],
    }


def _compare_sessions(sessions: Sequence[InspectedSession]) -> None:
    """Sessions of a run share one rate, and no recording."""
    rates = [(s, s.facts["opened"]["rate_hz"]) for s in sessions if s.facts["opened"] is not None]
    for session, rate in rates[1:]:
        if abs(rate - rates[0][1]) > 0.01 * rates[0][1]:
            session.findings.problem(
                f"runs at {rate:g} Hz, {rates[0][0].name} at {rates[0][1]:g} Hz",
                "bring them to one rate with sampling: {source_rate: ..., target_rate: ...}",
                blocks=True,
            )
    seen: dict[str, str] = {}
    for session in sessions:
        for recording in session.recordings:
            fingerprint = recording.facts["fingerprint"]
            if fingerprint is not None and seen.setdefault(fingerprint, session.name) != session.name:
                session.findings.problem(
                    f"{recording.kind} is the same recording as one of {seen[fingerprint]}",
                    "a recording belongs to one session; under two names it counts twice, and may be split otherwise",
                )
