"""Which sessions was an old checkpoint trained on, in which order, and with which units?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vctrain.config.dataset_schema import DatasetFile
from vctrain.config.locate import subject_of
from vctrain.config.old_spellings import respelt
from vctrain.config.yaml_files import validated
from vctrain.errors import ContractError, UsageError
from vctrain.runs.migration.dataset_files import Listed, listed_in
from vctrain.runs.migration.old import OldCheckpoint

_WRITTEN_BY_CODE = ("behavior_dim", "weight")
"""Keys that the old code put into a dataset config, beside those that start with an underscore."""


@dataclass(frozen=True)
class OldSession:
    """A session as the old system knew it; what its dataset config did not say, or is not there to say, is None."""

    name: str
    lab: str
    cids: tuple[int, ...]
    stim_lags: tuple[int, ...] | None
    history_lags: tuple[int, ...] | None
    adapter: Mapping[str, Any] | None
    """Instead of the model's."""
    readout: Mapping[str, Any] | None
    """Instead of the model's."""
    config: DatasetFile | None
    """The whole config, where it says what current configs can say."""
    types: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Whose session it is."""
        return subject_of(self.name, self.lab)


def sessions_of(old: OldCheckpoint, configs: Path | None) -> tuple[OldSession, ...]:
    """The sessions of ``old`` in the order of its readouts: as the checkpoint says, else as ``configs`` do.

    ``configs`` is a folder of complete dataset YAMLs (taken in the order of their names, those with "base" in it left
    out, as the old system did), a parent YAML, an old training config, or one dataset YAML.

    Raises ContractError when neither says, or when what they say does not fit the tensors.
    """
    units = unit_counts(old)
    inside = _inside(old)
    listed = listed_in(configs, old) if configs is not None else None
    if inside is None and listed is None:
        trained_with = old.text("cfg_dir")
        raise ContractError(
            f"{old.path} does not say which sessions and units its {_counted(len(units), 'readout')} "
            f"({_listing(units)} units) are of",
            hint="give --dataset-configs with the dataset configs it was trained with"
            + (f" ({trained_with})" if trained_with else ""),
        )
    given = [_read(entry) for entry in listed or ()]
    if inside is None:
        sessions, source = tuple(given), str(configs)
    else:
        known = [_read(entry) for entry in _named(inside, given)]
        sessions, source = _completed(old, known, given) if given else tuple(known), str(old.path)
    _check_units(old, sessions, units, source)
    return sessions


def _named(inside: Sequence[Listed], given: Sequence[OldSession]) -> list[Listed]:
    """Sessions of which the checkpoint knows the units but not the name, named by the one config with those units."""
    named = []
    for entry in inside:
        matching = [session.name for session in given if list(session.cids) == entry.content.get("cids")]
        unnamed = entry.fallback is None and "session" not in entry.content and len(matching) == 1
        named.append(replace(entry, fallback=matching[0]) if unnamed else entry)
    return named


def unit_counts(old: OldCheckpoint) -> list[int]:
    """Units of each readout, in order, from the shapes of its tensors. ContractError if a readout is missing."""
    found: dict[int, int] = {}
    for name, tensor in old.tensors.items():
        first, _, rest = name.partition(".")
        if first not in ("readout", "readouts") or tensor.ndim == 0:
            continue
        index, _, rest = ("0", "", rest) if first == "readout" else rest.partition(".")
        if index.isdecimal() and rest in _UNITS_FIRST:
            found.setdefault(int(index), tensor.shape[0])
    if not found or sorted(found) != list(range(len(found))):
        there = ", ".join(map(str, sorted(found))) or "none"
        raise ContractError(
            f"{old.path}: readouts {there} have weights, so it is incomplete", hint="take an intact checkpoint"
        )
    return [found[index] for index in range(len(found))]


_UNITS_FIRST = ("features.weight", "fc.weight", "_features_ex_weight", "_features_inh_weight", "bias", "mean")


def _inside(old: OldCheckpoint) -> list[Listed] | None:
    """What the checkpoint itself says of its sessions."""
    hyper, where = old.hyperparameters, str(old.path)
    configs = hyper.get("dataset_configs")
    if isinstance(configs, list) and configs and all(isinstance(c, dict) and c.get("cids") for c in configs):
        names = _names(hyper.get("dataset_info"), len(configs))
        return [
            Listed(c, name, f"dataset_configs[{i}] of {where}")
            for i, (c, name) in enumerate(zip(configs, names, strict=True))
        ]
    info, cids = hyper.get("dataset_info"), hyper.get("cids")
    if isinstance(cids, list) and cids:
        known = {key: info[key] for key in ("session", "lab", "types") if isinstance(info, dict) and info.get(key)}
        return [Listed({**known, "cids": cids}, _names(info, 1)[0], f"cids of {where}")]
    return None


def _names(info: Any, count: int) -> list[str | None]:
    """Session names in what an old module was told of its data."""
    if isinstance(info, dict):
        names = info.get("names") or info.get("dataset_names") or [info.get("session") or info.get("name")]
        if isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names):
            return list(names)
    return [None] * count


def _read(entry: Listed) -> OldSession:
    content, respelling = respelt(dict(entry.content), Path(entry.where))
    known = {k: v for k, v in content.items() if not k.startswith("_") and k not in _WRITTEN_BY_CODE}
    name = known.get("session") or entry.fallback
    cids = known.get("cids")
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ContractError(
            f"{entry.where} does not say of which session", hint="give --dataset-configs with its dataset YAML"
        )
    if not isinstance(cids, list) or not cids or not all(type(cid) is int and cid >= 0 for cid in cids):
        raise ContractError(f"{entry.where}: cids of session {name} are {cids!r}", hint="list the units it was fit to")
    if len(set(cids)) != len(cids):
        raise ContractError(f"{entry.where}: session {name} lists a cid twice", hint="list each unit once")
    heads = {key: known.pop(key) for key in ("adapter", "readout") if isinstance(known.get(key), dict)}
    notes = list(respelling)
    config: DatasetFile | None = None
    try:
        config = validated(DatasetFile, known, entry.where)
    except UsageError as error:
        notes.append(f"session {name}: its transforms, filters and split stay unknown: {error.message}")
    types = known.get("types")
    lab = known.get("lab")
    return OldSession(
        name=name,
        lab=lab if isinstance(lab, str) else "yates",
        cids=tuple(cids),
        stim_lags=_lags(known, "stim"),
        history_lags=_lags(known, "history"),
        adapter=heads.get("adapter"),
        readout=heads.get("readout"),
        config=config if "keys_lags" in known or "transforms" in known else None,
        types=tuple(types) if isinstance(types, list) and all(isinstance(kind, str) for kind in types) else None,
        notes=tuple(notes),
    )


def _lags(content: Mapping[str, Any], key: str) -> tuple[int, ...] | None:
    """Frames in the past that a sample holds of a covariate; a transform may state them too."""
    merged: dict[str, Any] = dict(content.get("keys_lags") or {})
    transforms = content.get("transforms")
    for transform in transforms.values() if isinstance(transforms, dict) else ():
        if isinstance(transform, dict) and isinstance(transform.get("keys_lags"), dict):
            merged |= transform["keys_lags"]
    lags = merged.get(key)
    if type(lags) is int:
        return (lags,)
    return tuple(lags) if isinstance(lags, list) and lags and all(type(lag) is int for lag in lags) else None


def _completed(old: OldCheckpoint, known: Sequence[OldSession], given: Sequence[OldSession]) -> tuple[OldSession, ...]:
    """The sessions that the checkpoint names, with what dataset configs say beyond it.

    ContractError where they contradict it.
    """
    by_name = {session.name: session for session in given}
    completed = []
    for session in known:
        other = by_name.get(session.name)
        if other is None:
            raise ContractError(
                f"{old.path} was trained on session {session.name}, which is not among the dataset configs "
                f"({', '.join(by_name)})",
                hint="give the dataset configs it was trained with, or none: it names its units itself",
            )
        if other.cids != session.cids:
            raise ContractError(
                f"session {session.name}: {old.path} has cids {_listing(session.cids)}, the dataset config "
                f"{_listing(other.cids)}",
                hint="give the dataset configs it was trained with, or none: it names its units itself",
            )
        completed.append(other if session.config is None else session)
    return tuple(completed)


def _check_units(old: OldCheckpoint, sessions: Sequence[OldSession], units: Sequence[int], source: str) -> None:
    """ContractError unless each readout has as many units as its session."""
    twice = {session.name for session in sessions if [s.name for s in sessions].count(session.name) > 1}
    if twice:
        raise ContractError(f"{source}: session {sorted(twice)[0]} is listed twice", hint="list each session once")
    offered = [len(session.cids) for session in sessions]
    if offered == list(units):
        return
    listed = ", ".join(f"{session.name} {len(session.cids)}" for session in sessions[:8])
    more = f" and {len(sessions) - 8} more" if len(sessions) > 8 else ""
    hint = "give the dataset configs it was trained with, unchanged"
    if sorted(offered) == sorted(units):
        hint += "; the order of a parent YAML's sessions: decides which is which, in a folder that of the file names"
    raise ContractError(
        f"{old.path} has {_counted(len(units), 'readout')} of {_listing(units)} units, but {source} lists "
        f"{_counted(len(sessions), 'session')}: {listed}{more}",
        hint=hint,
    )


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _listing(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")
