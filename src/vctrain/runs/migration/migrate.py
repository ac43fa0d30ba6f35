"""How does an old checkpoint become a current one that gives the same predictions?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.config.legacy import LegacyModelConfig, Semantics, read_legacy_config
from vctrain.data.inert import Inert
from vctrain.errors import ContractError, UsageError, VctrainError
from vctrain.models.legacy.names import settled
from vctrain.models.legacy.twin import LegacyTwin
from vctrain.runs.bounds import Bounded
from vctrain.runs.checkpoints import Checkpoint, content, shape_of, write_portable
from vctrain.runs.files import refuse_existing
from vctrain.runs.migration.check import TOLERANCE, Reference, compare, read_batch, try_window
from vctrain.runs.migration.description import Described, description_of
from vctrain.runs.migration.frozen import with_core
from vctrain.runs.migration.old import OldCheckpoint, read_old
from vctrain.runs.migration.optimizer import OldOptimizer, optimizer_of
from vctrain.runs.migration.semantics import Decided, decide
from vctrain.runs.migration.sessions import OldSession, sessions_of
from vctrain.runs.migration.stored import origin_of, settings_of, stored_session
from vctrain.runs.migration.tensors import Mapped, map_tensors, parameters_of

MAX_LAG = 4096
"""Frames; no window of the old system came near it."""


@dataclass(frozen=True)
class Sources:
    """What the user names beside the checkpoint."""

    model_config: Path | None = None
    dataset_configs: Path | None = None
    semantics: Semantics | None = None
    check: Path | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class _Built:
    """A migrated twin, before it is written."""

    config: LegacyModelConfig
    twin: LegacyTwin
    mapped: Mapped
    sessions: list[dict[str, Any]]
    notes: list[str]


def migrate(path: Path, output: Path, sources: Sources) -> dict[str, Any]:
    """Write the checkpoint at ``path``, of an old system, to ``output`` as a current ``.pt``.

    Returns ``{"checkpoint", "output", "generation", "semantics", "mapped", "dropped": {name: why}, "sessions": {name:
    units}, "optimizer": {"mapped", "reason"}, "check": None or {"max_rel", "sessions": {name: max_rel}}, "notes"}``.

    Raises UsageError if ``output`` exists or a named file is wrong, ContractError if the checkpoint cannot be read,
    does not hold what is needed, or with ``sources.check`` predicts otherwise; then nothing is written.
    """
    refuse_existing(output)
    old = read_old(path)
    described = description_of(old, sources.model_config)
    old, notes = with_core(old, sources.model_config)
    sessions = sessions_of(old, sources.dataset_configs)
    batch = None if sources.check is None else read_batch(sources.check)
    decided = decide(old, described.model, sources.semantics, batch is not None)
    built = _settle(old, described, sessions, decided, sources, batch)
    semantics = built.config.semantics
    if decided.note is not None and batch is None:
        notes.append(decided.note)
    if len(decided.candidates) > 1 and batch is not None:
        notes.append(f"the reference rates settle the semantics: {semantics}")
    optimizer = optimizer_of(old, *parameters_of(old, built.mapped, built.twin), built.mapped.names)
    found = _write(output, old, described, sessions, decided, built, optimizer, sources, batch)
    return {
        "checkpoint": str(path),
        "output": str(output),
        "generation": old.generation,
        "semantics": semantics,
        "semantics_told_by": decided.why,
        "mapped": len(built.mapped.names),
        "dropped": {**built.mapped.dropped, **old.outside},
        "sessions": {session.name: len(session.cids) for session in sessions},
        "optimizer": {"mapped": len(optimizer.state), "reason": optimizer.reason},
        "check": None if found is None else {"max_rel": max(found.values()), "sessions": found},
        "notes": [
            *notes,
            *described.notes,
            *(note for session in sessions for note in session.notes),
            *built.notes,
            *_foreign_notes(old),
        ],
    }


def _foreign_notes(old: OldCheckpoint) -> list[str]:
    held = [value.what for value in old.hyperparameters.values() if isinstance(value, Inert)]
    named = sorted({*old.foreign, *held})
    return [f"foreign classes and functions were left unread: {', '.join(named[:6])}"] if named else []


def _settle(
    old: OldCheckpoint,
    described: Described,
    sessions: Sequence[OldSession],
    decided: Decided,
    sources: Sources,
    batch: dict[int, Reference] | None,
) -> _Built:
    """The twin of the first candidate semantics that fits the tensors and, if there are any, the reference rates."""
    refusals: list[VctrainError] = []
    misses: list[tuple[Semantics, float]] = []
    for semantics in decided.candidates:
        try:
            built = _build(old, described, sessions, semantics, batch)
        except (ContractError, UsageError) as error:
            refusals.append(error)
            continue
        if batch is None or sources.check is None:
            return built
        largest = max(compare(built.twin, batch, sources.check).values())
        if largest <= sources.tolerance:
            return built
        misses.append((semantics, largest))
    if not misses:
        raise refusals[0]
    told = ", ".join(f"{largest:.2g} with semantics {semantics}" for semantics, largest in misses)
    raise ContractError(
        f"{old.path}: the migrated twin predicts other rates than {sources.check}: largest relative difference {told} "
        f"(tolerated {sources.tolerance:g}); nothing was written",
        hint="check that model config, dataset configs and batch belong to this checkpoint, or say another --semantics",
    )


def _build(
    old: OldCheckpoint,
    described: Described,
    sessions: Sequence[OldSession],
    semantics: Semantics,
    batch: Mapping[int, Reference] | None,
) -> _Built:
    lags, notes = _lags(old, sessions, batch)
    heads = {
        session.name: {"adapter": session.adapter, "readout": session.readout}
        for session in sessions
        if session.adapter is not None or session.readout is not None
    }
    more: dict[str, Any] = {}
    if described.model.get("model_type") == "v1multi_history":
        more = {"history_lags": _history_lags(sessions)}
    try:
        config = read_legacy_config(
            described.model, semantics=semantics, lags=lags, source=described.source, heads=heads, **more
        )
        config = settled(config, old.tensors)
        sizes = [_size(batch, index) for index in range(len(sessions))]
        stored = [stored_session(s, config, size) for s, size in zip(sessions, sizes, strict=True)]
        with Bounded(old.tensors.values(), str(old.path)):
            twin = LegacyTwin(config, [shape_of(session, config) for session, _ in stored])
    except UsageError as error:
        if not described.inside:
            raise
        raise ContractError(
            f"{old.path}: its own model config cannot be built: {error.message}", hint=error.hint
        ) from error
    mapped = map_tensors(old, config, twin, described.source)
    twin.load_state_dict(dict(mapped.weights))
    with Bounded(old.tensors.values(), str(old.path)):
        try_window(twin.eval(), sizes, str(old.path))
    notes += [f"session {session['name']}: {note}" for session, own in stored for note in own]
    return _Built(config, twin, mapped, [session for session, _ in stored], notes)


def _size(batch: Mapping[int, Reference] | None, index: int) -> tuple[int, int] | None:
    """The stimulus size of a session, which only a batch of reference inputs shows."""
    reference = None if batch is None else batch.get(index)
    if reference is None or reference.stim is None or reference.stim.ndim != 5:
        return None
    return (reference.stim.shape[3], reference.stim.shape[4])


def _lags(
    old: OldCheckpoint, sessions: Sequence[OldSession], batch: Mapping[int, Reference] | None
) -> tuple[tuple[int, ...], list[str]]:
    """The lags of a window, which all sessions share."""
    far = [session.name for session in sessions for lag in session.stim_lags or () if lag > MAX_LAG]
    if far:
        raise ContractError(
            f"keys_lags.stim of session {far[0]} reaches more than {MAX_LAG} frames back",
            hint="give the dataset configs it was trained with",
        )
    stated = {session.stim_lags: session.name for session in sessions if session.stim_lags is not None}
    if len(stated) > 1:
        (first, one), (second, other), *_ = stated.items()
        raise ContractError(
            f"keys_lags.stim has {len(first or ())} lags in session {one}, {len(second or ())} in {other}",
            hint="give the dataset configs it was trained with; one model reads windows of one length",
        )
    if stated:
        return next(iter(stated)) or (0,), []
    lengths = {r.stim.shape[2] for r in (batch or {}).values() if r.stim is not None and r.stim.ndim == 5}
    if len(lengths) == 1:
        length = lengths.pop()
        return tuple(range(length)), [f"windows are taken to be the {length} newest frames, as in the reference batch"]
    raise ContractError(
        f"{old.path} does not say how many frames its model reads (keys_lags.stim)",
        hint="give --dataset-configs with the dataset configs it was trained with",
    )


def _history_lags(sessions: Sequence[OldSession]) -> tuple[int, ...] | None:
    """The lags of the spikes that all sessions read; None where no config states them."""
    stated = {session.history_lags for session in sessions if session.history_lags is not None}
    if len(stated) > 1:
        raise ContractError(
            "keys_lags.history differs between sessions, and one model reads spikes of the same lags in all",
            hint="give the dataset configs it was trained with",
        )
    return next(iter(stated), None)


def _write(
    output: Path,
    old: OldCheckpoint,
    described: Described,
    sessions: Sequence[OldSession],
    decided: Decided,
    built: _Built,
    optimizer: OldOptimizer,
    sources: Sources,
    batch: dict[int, Reference] | None,
) -> dict[str, float] | None:
    """Write the file, and say how far the rates of the twin read from it lie from those of ``batch``."""
    types = {session.types for session in sessions}
    settings = settings_of(old, types.pop() if len(types) == 1 else None)
    stored = content(settings, built.sessions, built.twin.context, built.config)
    stored["origin"] = origin_of(old, described.source, decided.why)
    beside: dict[str, Any] = {}
    if optimizer.state:
        state = {name: {key: value.clone() for key, value in entry.items()} for name, entry in optimizer.state.items()}
        beside["old_optimizer"] = {"groups": [dict(group) for group in optimizer.groups], "state": state}
    found: dict[str, float] = {}

    def accept(checkpoint: Checkpoint) -> None:
        twin = checkpoint.build()
        if batch is None or sources.check is None:
            return
        assert isinstance(twin, LegacyTwin)
        found.update(compare(twin, batch, sources.check))
        if max(found.values()) > sources.tolerance:
            raise AssertionError(f"the twin read from the file predicts otherwise than the one written: {found}")

    write_portable(output, built.mapped.weights, stored, beside=beside, accept=accept)
    return found or None
