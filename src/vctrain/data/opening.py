"""Do these recordings hold what their configs ask for? If so, they become sessions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from vctrain.config.dataset_schema import FASTEST_HZ, SLOWEST_HZ
from vctrain.config.datasets import SessionSpec
from vctrain.config.plan import Signal
from vctrain.config.transforms import DaCones, SelectUnits
from vctrain.data.dset import open_dset
from vctrain.data.filters import unit_validity
from vctrain.data.frames import Trials, frames_of, trials_of
from vctrain.data.overlap import overlap_of
from vctrain.data.recordings import COUNTS, Recording
from vctrain.data.scales import fit_scales
from vctrain.data.session import Session
from vctrain.data.signals import Pipeline, columns_after
from vctrain.data.splits import SPLITS, TRAIN
from vctrain.data.stimulus import StimChain
from vctrain.data.stimulus_cache import computed_movie, fit_maxima
from vctrain.errors import ContractError

CHECKED_BYTES = 1 << 28
"""Counts looked at when sessions are opened, over all of them; longer recordings are sampled, and every count is
checked when it is read."""
_SESSIONS_AHEAD = 8
"""Of so many sessions the traces are fetched from the disk while one is checked."""
_MOST_COLUMNS = 10_000


def open_sessions(
    specs: Sequence[SessionSpec], context: int, settle_seconds: float = 0.0, stim: bool = True
) -> tuple[Session, ...]:
    """The sessions of `specs`, mapped, checked and split; `context` frames before a frame must be valid to score it.

    The first `settle_seconds` of every recording are left out; trials are split as if they were not. Without `stim`
    no movie is looked at, nor has to be there.

    Raises ContractError, naming session, file and covariate, for anything that cannot be used.
    """
    specs = _once_noted(specs, context)
    recordings = [_recordings(spec, stim) for spec in specs]
    budget = CHECKED_BYTES // max(sum(map(len, recordings)), 1)
    opened: list[Session] = []
    ahead = zip(specs, recordings, strict=True)
    for spec, its in itertools.islice(ahead, _SESSIONS_AHEAD):
        _fetch(spec, its)
    for index, spec in enumerate(specs):
        for later, its in itertools.islice(ahead, 1):
            _fetch(later, its)
        opened.append(_open(spec, recordings[index], index, context, settle_seconds, budget, stim))
    sessions = tuple(opened)
    for session in sessions[1:]:
        if abs(session.rate_hz - sessions[0].rate_hz) > 0.01 * sessions[0].rate_hz:
            raise ContractError(
                f"session {session.name} runs at {session.rate_hz:g} Hz, {sessions[0].name} at "
                f"{sessions[0].rate_hz:g} Hz",
                hint="bring them to one rate with sampling: {source_rate: ..., target_rate: ...}",
            )
    return sessions


def _once_noted(specs: Sequence[SessionSpec], context: int) -> list[SessionSpec]:
    """`specs`, the first with each `n_lags` beyond the model's context carrying a note that says so."""
    noted: list[SessionSpec] = []
    seen = {None, context}
    for spec in specs:
        # A shorter history than the model's is included in it; only a longer one is not honoured.
        if spec.n_lags not in seen and (spec.n_lags or 0) > context + 1:
            note = f"valid_nlags {spec.n_lags} of the dataset configs is replaced by the model's context, {context}"
            noted.append(replace(spec, notes=(*spec.notes, note)))
        else:
            noted.append(spec)
        seen.add(spec.n_lags)
    return noted


def _recordings(spec: SessionSpec, stim: bool) -> list[Recording]:
    return [Recording(spec.name, kind, open_dset(path), spec.factor, stim) for kind, path in spec.files.items()]


def _fetch(spec: SessionSpec, recordings: Sequence[Recording]) -> None:
    """Has what is read as a whole when a session is opened read in the background."""
    signals = [signal.source for signal in spec.transforms.behavior]
    for recording in recordings:
        recording.will_need({"trial_inds", "dpi_valid", *signals} - set(COUNTS))


def _open(
    spec: SessionSpec,
    recordings: Sequence[Recording],
    index: int,
    context: int,
    settle_seconds: float,
    budget: int,
    stim: bool,
) -> Session:
    notes = [*spec.notes, *itertools.chain.from_iterable(recording.notes for recording in recordings)]
    _check_alike(spec, recordings)
    rate_hz = _rate(spec, recordings, notes)
    cids = _cids(spec, recordings)
    for recording in recordings:
        recording.check_counts(cids, budget)
    pipelines = _pipelines(spec, recordings, cids, notes)
    runs = [trials_of(spec, recording, rate_hz, notes) for recording in recordings]
    frames = frames_of(recordings, runs, pipelines, rate_hz, settle_seconds)
    if settle_seconds:
        notes.append(f"session {spec.name}: the first {settle_seconds:g} s of each recording are left out")
    unit_valid = unit_validity(spec.missing_pct, recordings, cids, spec.folder) if spec.missing_pct else ()

    def session(chain: StimChain, movies: Sequence[NDArray[np.float32]] = ()) -> Session:
        return Session(
            spec,
            recordings,
            index=index,
            rate_hz=rate_hz,
            cids=cids,
            pipelines=pipelines,
            frames=frames,
            chain=chain,
            movies=movies,
            unit_valid=unit_valid,
            context=context,
            settle_seconds=settle_seconds,
            notes=tuple(notes),
        )

    # The movie comes last: a session that is refused costs no hours, and leaves nothing in the cache.
    as_stored = session(StimChain(()))
    _check_frames(as_stored)
    for pipeline in pipelines:
        fit_scales(as_stored, pipeline)
    if not stim:
        return as_stored
    chain = _chain(spec, recordings, runs, rate_hz, notes)
    if spec.transforms.stim_pointwise:
        return session(chain)
    return session(chain, [computed_movie(r, t.runs, chain) for r, t in zip(recordings, runs, strict=True)])


def _check_alike(spec: SessionSpec, recordings: Sequence[Recording]) -> None:
    first = recordings[0]
    for other in recordings[1:]:
        if (other.height, other.width) != (first.height, first.width):
            raise other.error(
                f"frames are {other.height}x{other.width}, those of {first.kind} {first.height}x{first.width}",
                hint="all types of a session share one size",
            )
        if other.n_units != first.n_units:
            raise other.error(
                f"robs has {other.n_units} units, that of {first.kind} {first.n_units}",
                hint="all types of a session share the same units",
            )
    for one, other in itertools.combinations(recordings, 2):
        if (overlap := overlap_of(other, one)) is not None:
            raise other.error(overlap, hint="keep one, or train and validation trials share frames")


def _rate(spec: SessionSpec, recordings: Sequence[Recording], notes: list[str]) -> float:
    stated = {r.kind: rate for r in recordings if (rate := r.rate_hz()) is not None}
    if spec.source_rate is not None and spec.target_rate is not None:
        for kind, rate in stated.items():
            if abs(rate - spec.source_rate) > 0.05 * spec.source_rate:
                notes.append(f"session {spec.name}: {kind} says {rate:g} Hz, its config {spec.source_rate:g} Hz")
        return spec.target_rate
    if not stated:
        raise ContractError(
            f"session {spec.name}: no frame rate ({SLOWEST_HZ:g} to {FASTEST_HZ:g} Hz) in the config, the metadata "
            f"(rate_hz) or t_bins (seconds) of {recordings[0].path}",
            hint="add sampling: {source_rate: ..., target_rate: ...}",
        )
    kind, rate = next(iter(stated.items()))
    for other, its in stated.items():
        if abs(its - rate) > 0.01 * rate:
            raise ContractError(
                f"session {spec.name}: {kind} runs at {rate:g} Hz, {other} at {its:g} Hz",
                hint="types of a session share one rate",
            )
    return rate


def _cids(spec: SessionSpec, recordings: Sequence[Recording]) -> tuple[int, ...]:
    n_units = recordings[0].n_units
    cids = tuple(range(n_units)) if spec.cids is None else spec.cids
    absent = [cid for cid in cids if not 0 <= cid < n_units]
    if absent:
        which = f"cid {absent[0]} is" if len(absent) == 1 else f"cids {', '.join(map(str, absent))} are"
        raise ContractError(
            f"session {spec.name}: {which} not there; the file has {n_units} units (0..{n_units - 1})",
            hint=f"correct cids in {spec.config_path or 'the config'}",
        )
    return cids


def _pipelines(
    spec: SessionSpec, recordings: Sequence[Recording], cids: tuple[int, ...], notes: list[str]
) -> list[Pipeline]:
    """The behaviour signals; none if the session has no eye tracking."""
    pipelines: list[Pipeline] = []
    sources = dict.fromkeys(signal.source for signal in spec.transforms.behavior)
    for source in sources:
        having = [source in recording for recording in recordings]
        if not any(having) and source == "eyepos":
            notes.append(f"session {spec.name}: no eyepos, so it is used without behaviour")
            return []
        for recording, has in zip(recordings, having, strict=True):
            if not has:
                raise recording.error(f"covariate {source} is missing; behaviour needs it", hint="drop the type")
            if recording.width_of(source) != recordings[0].width_of(source):
                raise recording.error(f"{source} is not as wide as in {recordings[0].kind}", hint="store them alike")
    for signal in spec.transforms.behavior:
        width = recordings[0].width_of(signal.source)
        _check_columns(spec, signal, width, cids)
        pipelines.append(Pipeline(signal, width, cids))
    return pipelines


def _check_columns(spec: SessionSpec, signal: Signal, columns: int, cids: tuple[int, ...]) -> None:
    """ContractError where an operation on a signal of so many `columns` asks for others, or makes too many."""
    for op in signal.ops:
        beyond = [i for i in op.selected(cids) if i >= columns] if isinstance(op, SelectUnits) else []
        if beyond:
            raise ContractError(
                f"session {spec.name}: select_units asks for column {beyond[0]} of {signal.source}, which has "
                f"{columns} there",
                hint=f"correct indices in {spec.config_path}",
            )
        columns = columns_after(op, columns, cids)
        if not 0 < columns <= _MOST_COLUMNS:
            raise ContractError(
                f"session {spec.name}: {op.op} makes {columns:,} columns of {signal.source}; 1 to {_MOST_COLUMNS:,} "
                f"can be behaviour",
                hint=f"correct transforms in {spec.config_path}",
            )


def _chain(
    spec: SessionSpec, recordings: Sequence[Recording], trials: Sequence[Trials], rate_hz: float, notes: list[str]
) -> StimChain:
    """The operations on the movie, with the maxima of training trials where the spec brings none."""
    chain = StimChain(spec.transforms.stim, spec.stim_maxima)
    for op in chain.ops:
        if isinstance(op, DaCones) and abs(op.sampling_rate - rate_hz) > 0.01 * rate_hz:
            notes.append(
                f"session {spec.name}: dacones takes the movie for {op.sampling_rate:g} Hz, it runs at {rate_hz:g} Hz; "
                f"sampling_rate: {rate_hz:g} makes its time constants milliseconds"
            )
    if spec.transforms.stim_pointwise and not torch.isfinite(chain.levels()).all():
        raise ContractError(
            f"session {spec.name}: transforms.stim makes grey levels that are not finite",
            hint=f"correct its factors in {spec.config_path}",
        )
    if chain.fitted_positions and not chain.maxima:
        training = [(r, t.runs[t.split == TRAIN]) for r, t in zip(recordings, trials, strict=True)]
        fit_maxima(chain, training)
    return chain


def _check_frames(session: Session) -> None:
    context = session.context
    if session.dropped["outside trials"] == session.n_frames:
        raise ContractError(
            f"session {session.name} has no trial: trial_inds of {session.recordings[0].path} is negative everywhere",
            hint="number the trials from 0; a negative number means that a frame is of none",
        )
    if session.n_scored("all") == 0:
        usable = session.usable().total
        raise ContractError(
            f"session {session.name} has no valid frame: {usable} of {session.n_frames} frames are valid, none of them "
            f"with the {context} frames before it in the same trial",
            hint="check dpi_valid and trial_inds, or use a model with less context",
        )
    for split in SPLITS[: session.n_splits]:
        if session.n_scored(split) == 0:
            n_trials = len(session.segments(split))
            raise ContractError(
                f"session {session.name} has no {split} frame: {n_trials} of its {len(session.segments())} trials are "
                f"for {split}, none with a valid frame after {context} frames of context",
                hint="change train_val_split, record more trials, or drop the session",
            )
        if session.entries(split).sum() == 0:
            raise ContractError(
                f"session {session.name}: missing_pct leaves no unit that counts in any {split} frame",
                hint="raise its threshold, check its percentages, or remove the filter",
            )
