"""Do these recordings hold the units a checkpoint was trained on?

Compared by session name and cid, never by position. What a migrated checkpoint does not know (None) is taken from the
recordings and their configs, with a note.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vctrain.config.datasets import SessionSpec
from vctrain.data.opening import open_sessions
from vctrain.data.session import Session
from vctrain.errors import ContractError


@dataclass(frozen=True)
class Matched:
    """Sessions opened for a checkpoint: ``index`` of each is its place in the checkpoint's module lists."""

    sessions: tuple[Session, ...]
    notes: tuple[str, ...]


def _listed(cids: Sequence[int]) -> str:
    return ", ".join(map(str, cids[:12])) + (f" and {len(cids) - 12} more" if len(cids) > 12 else "")


def _as_stored(spec: SessionSpec, stored: Mapping[str, Any], notes: list[str], stim: bool) -> SessionSpec:
    """``spec`` with the checkpoint's units and split; `ContractError` when a unit is not offered."""
    wanted = [int(cid) for cid in stored["cids"]]
    if spec.cids is not None:
        missing = sorted(set(wanted) - set(spec.cids))
        if missing:
            raise ContractError(
                f"session {spec.name}: checkpoint has {len(wanted)} units, "
                f"data has {len(set(wanted) & set(spec.cids))} (missing cids {_listed(missing)})",
                hint=f"restore them in {spec.config_path or 'the dataset config'}, or evaluate other data",
            )
        extra = sorted(set(spec.cids) - set(wanted))
        if extra:
            notes.append(f"session {spec.name}: {len(extra)} units that the checkpoint does not know are ignored")
    spec = replace(spec, cids=tuple(wanted))
    unknown = [key for key in ("transforms", "filters", "split") if stored[key] is None]
    if unknown:
        notes.append(f"session {spec.name}: the checkpoint does not know its {', '.join(unknown)}; the data's are used")
    spec = _with_split(_with_filters(spec, stored), stored)
    return _with_transforms(spec, stored) if stim else spec


def _with_transforms(spec: SessionSpec, stored: Mapping[str, Any]) -> SessionSpec:
    transforms = stored["transforms"]
    if transforms is None:
        return spec
    if spec.transforms.stim_as_list() != transforms["stim"]:
        raise ContractError(
            f"session {spec.name}: its movie is made by other transforms than that of the checkpoint, "
            f"{transforms['stim'] or 'pixelnorm'}",
            hint="give the dataset config the transforms listed in contract.json of the run",
        )
    maxima = {int(position): value for position, value in transforms["stim_maxima"].items()}
    return replace(spec, stim_maxima=maxima)


def _with_filters(spec: SessionSpec, stored: Mapping[str, Any]) -> SessionSpec:
    filters = stored["filters"]
    threshold = None if spec.missing_pct is None else spec.missing_pct.threshold
    if filters is not None and threshold != filters["missing_pct"]:
        raise ContractError(
            f"session {spec.name}: the filter missing_pct is {threshold} in the data, "
            f"{filters['missing_pct']} in the checkpoint",
            hint="give the dataset config the filters listed in contract.json of the run",
        )
    return spec


def _with_split(spec: SessionSpec, stored: Mapping[str, Any]) -> SessionSpec:
    split = stored["split"]
    if split is None:
        return spec
    return replace(
        spec,
        train_val_split=tuple(split["train_val_split"]),
        seed=split["seed"],
        stored_trials=split["trials"],
    )


def open_for_checkpoint(
    specs: Sequence[SessionSpec],
    stored: Sequence[Mapping[str, Any]],
    context: int,
    *,
    all_required: bool,
    only: Collection[str] | None = None,
    stim: bool = True,
) -> Matched:
    """Open the sessions of ``stored`` (a checkpoint's ``sessions``) that ``specs`` offer, with their units, split and
    normalisers.

    Sessions the checkpoint does not know are ignored with a note; of the checkpoint's, none but ``only`` are looked
    for, where that is given; without `stim` no movie is looked at. Raises
    `ContractError` for a missing session (all of them unless ``all_required``), missing cids, and another frame rate,
    stimulus size or behaviour.
    """
    offered = {spec.name: spec for spec in specs}
    known = {str(entry["name"]): index for index, entry in enumerate(stored) if only is None or entry["name"] in only}
    notes: list[str] = []
    absent = [name for name in known if name not in offered]
    if absent and (all_required or len(absent) == len(known)):
        raise ContractError(
            f"the checkpoint's session {absent[0]} is not in the data, which has {_names(offered)}",
            hint="give --data with recordings of the sessions the checkpoint was trained on",
        )
    if absent:
        notes.append(f"not in the data, left out: {_names(absent)}")
    unknown = [name for name in offered if name not in known]
    if unknown:
        notes.append(f"not in the checkpoint, ignored: {_names(unknown)}")
    chosen = [_as_stored(offered[name], stored[index], notes, stim) for name, index in known.items() if name in offered]
    settle = float((stored[0]["filters"] or {}).get("settle_seconds", 0.0))
    sessions = open_sessions(chosen, context, settle, stim)
    changed = []
    for session in sessions:
        index = known[session.name]
        _check(session, stored[index])
        _restore_normalisers(session, stored[index], notes)
        trained_on = stored[index]["fingerprint"]
        with_movie = stored[index]["size"] is not None
        # a fingerprint with the movie says nothing where none is looked at
        comparable = trained_on is not None and (stim or not with_movie)
        if comparable and any(trained_on.get(k) != v for k, v in session.fingerprint(with_movie).items()):
            changed.append(session.name)
        session.index = index
        notes.extend(session.notes)
    if changed:
        notes.append(f"other recordings than those trained on, units matched by cid: {_names(changed)}")
    return Matched(sessions, tuple(notes))


def _names(names: Sequence[str] | Mapping[str, Any]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:6]) + (f" and {len(ordered) - 6} more" if len(ordered) > 6 else "")


def _check(session: Session, stored: Mapping[str, Any]) -> None:
    found = session.describe()
    for key, what in (
        ("rate_hz", "frame rate"),
        ("size", "stimulus size"),
        ("behavior_dim", "number of behavior columns"),
    ):
        ours, theirs = found[key], stored[key]
        if theirs is None or ours is None:
            continue
        if (abs(ours - theirs) > 0.01 * theirs) if key == "rate_hz" else (list_of(ours) != list_of(theirs)):
            raise ContractError(
                f"session {session.name}: {what} is {ours} in the data, {theirs} in the checkpoint",
                hint="use recordings and transforms like those the checkpoint was trained on",
            )
    known = stored["transforms"] is not None
    if known and session.behavior_dim and _operations(found) != _operations(stored):
        raise ContractError(
            f"session {session.name}: its behavior is made by other transforms than those of the checkpoint",
            hint="give the dataset config the transforms listed in contract.json of the run",
        )


def list_of(value: Any) -> list[Any]:
    """A sequence or a single value as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _operations(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is done to each behaviour signal, without what was fitted."""
    return [
        {key: value for key, value in signal.items() if key != "maxima"}
        for signal in description["transforms"]["behavior"]
    ]


def _restore_normalisers(session: Session, stored: Mapping[str, Any], notes: list[str]) -> None:
    """Normalisers are part of the twin: those fitted on its training frames apply to whatever it is shown."""
    known = stored["transforms"] is not None and bool(session.pipelines)
    entries = stored["transforms"]["behavior"] if known else []
    for pipeline, entry in zip(session.pipelines, entries, strict=known):
        for position, value in entry["maxima"].items():
            pipeline.maxima[int(position)] = float(value)
        if pipeline.maxima and not entry["maxima"]:
            notes.append(
                f"session {session.name}: the checkpoint does not know the largest {pipeline.source} of its training; "
                "that of these training frames takes its place"
            )
