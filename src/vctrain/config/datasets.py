"""Which sessions, units, types and files does a ``--data`` path stand for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vctrain.config.components.adapters import Adapter
from vctrain.config.components.readouts import Readout
from vctrain.config.dataset_schema import DatasetFile, MissingPct, ParentFile
from vctrain.config.locate import Roots, find_recordings, is_session_folder, session_folder, subject_of
from vctrain.config.old_spellings import is_base_file, respelt
from vctrain.config.plan import Plan, plan_of
from vctrain.config.transforms import Transform
from vctrain.config.yaml_files import read_mapping, validated
from vctrain.errors import UsageError

STANDARD_BEHAVIOR: dict[str, Any] = {
    "eye_vel": {
        "source": "eyepos",
        "ops": [
            {"diff": {"axis": 0}},
            {"maxnorm": {}},
            {"symlog": {}},
            {
                "temporal_basis": {
                    "num_delta_funcs": 0,
                    "num_cosine_funcs": 10,
                    "history_bins": 50,
                    "causal": False,
                    "log_spacing": False,
                    "peak_range_ms": [30, 200],
                    "normalize": True,
                }
            },
            {"splitrelu": {"split_dim": 1, "trainable_gain": False}},
        ],
        "expose_as": "behavior",
        "concatenate": True,
    },
    "eye_pos": {"source": "eyepos", "ops": [], "expose_as": "behavior", "concatenate": True},
}
"""The standard eye-movement behaviour: 40 columns of velocity, 2 of position."""


@dataclass(frozen=True)
class SessionSpec:
    """One session as its config describes it; nothing of the recordings has been read yet."""

    name: str
    subject: str
    lab: str
    cids: tuple[int, ...] | None
    """None: every unit of the files."""
    types: tuple[str, ...]
    files: Mapping[str, Path]
    source_rate: float | None
    """Frames a second in the files; None: the files say."""
    target_rate: float | None
    transforms: Plan
    train_val_split: tuple[float, ...]
    """Fractions of trials: (train,), the rest for validation; or (train, val, test)."""
    seed: int
    config_path: Path | None
    missing_pct: MissingPct | None = None
    adapter: Adapter | None = None
    """Instead of the model's."""
    readout: Readout | None = None
    """Instead of the model's."""
    stim_maxima: Mapping[int, float] = field(default_factory=dict)
    """Fitted maxima of the movie's maxnorm operations by position, if they come from a checkpoint."""
    stored_trials: Mapping[str, Mapping[str, Sequence[float]]] | None = None
    """Trial numbers by type and split, if they come from a checkpoint."""
    n_lags: int | None = None
    """`valid_nlags` of the config, which current twins replace by their own context."""
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The session's own folder."""
        return session_folder(next(iter(self.files.values())))

    @property
    def factor(self) -> int:
        """Frames of the files in one frame of the twin."""
        if self.source_rate is None or self.target_rate is None:
            return 1
        return round(self.source_rate / self.target_rate)


def load_dataset_configs(
    path: str | Path,
    *,
    data_root: str | None = None,
    types: Sequence[str] | None = None,
    max_datasets: int | None = None,
    some: bool = False,
) -> tuple[SessionSpec, ...]:
    """The sessions that `path` stands for, in order.

    `path` is a parent YAML, one complete dataset YAML, a folder of complete YAMLs, or a folder of session folders.
    `types` replaces the stimulus types of the configs; with `some` a session has those of them that it has recordings
    of, and one without any is left out. Raises UsageError for configs that cannot be used and
    ContractError, listing every path tried, for a recording that is not there.
    """
    root = Path(path).expanduser()
    twice = sorted({kind for kind in types or () if list(types or ()).count(kind) > 1})
    if twice:
        raise UsageError(f"types listed twice: {', '.join(twice)}", hint="name each once")
    try:
        if not root.exists():
            raise UsageError(
                f"--data {root} does not exist", hint="give a dataset YAML, or a folder of them or of sessions"
            )
        entries = (_from_file(root) if root.is_file() else _from_folder(root))[:max_datasets]
    except OSError as error:
        raise UsageError(
            f"{error.filename or root} cannot be read: {error.strerror}", hint="check who may read it and its folders"
        ) from error
    _each_session_once(entries)
    specs = [_spec(entry, data_root, types, some) for entry in entries]
    return tuple(spec for spec in specs if spec.files)


@dataclass(frozen=True)
class _Entry:
    """A session before its files are looked for: its merged config and where it came from."""

    file: DatasetFile
    where: Path
    name: str
    folder: Path
    notes: tuple[str, ...] = ()


def _from_file(path: Path) -> list[_Entry]:
    content, notes = respelt(read_mapping(path), path)
    if "sessions" in content or "session_dir" in content:
        return _from_parent(path, content, notes)
    return [_complete(path, content, notes)]


def _from_parent(path: Path, content: dict[str, Any], notes: tuple[str, ...]) -> list[_Entry]:
    parent = validated(ParentFile, content, path)
    shared = {key: value for key, value in content.items() if key not in ("session_dir", "sessions")}
    entries = []
    for name in parent.sessions:
        child_path = path.parent / parent.session_dir / f"{name}.yaml"
        if not child_path.is_file():
            raise UsageError(f"session {name} of {path} has no config {child_path}", hint="write it, or drop it there")
        child, child_notes = respelt(read_mapping(child_path), child_path)
        validated(DatasetFile, child, child_path)
        merged = validated(DatasetFile, deep_merge(shared, child), child_path)
        if merged.cids is None:
            raise UsageError(f"cids is missing in {child_path}", hint="list the units to use, such as cids: [0, 1, 2]")
        entries.append(_Entry(merged, child_path, merged.session or name, path.parent, notes + child_notes))
        notes = ()
    return entries


def _complete(path: Path, content: dict[str, Any], notes: tuple[str, ...]) -> _Entry:
    file = validated(DatasetFile, content, path)
    if file.cids is None:
        raise UsageError(f"cids is missing in {path}", hint="list the units to use, such as cids: [0, 1, 2]")
    return _Entry(file, path, file.session or path.stem, path.parent, notes)


def _from_folder(folder: Path) -> list[_Entry]:
    files = sorted(folder.glob("*.yaml"))
    if len(files) == 1:
        return _from_file(files[0])
    if files:
        contents = [(file, *respelt(read_mapping(file), file)) for file in files]
        bases = [file for file, content, _ in contents if is_base_file(file, content)]
        contents = [entry for entry in contents if entry[0] not in bases]
        parents = [file.name for file, content, _ in contents if "sessions" in content or "session_dir" in content]
        if parents:
            raise UsageError(
                f"{folder} holds several dataset configs, among them {', '.join(parents)}",
                hint=f"name one, such as {folder / parents[0]}",
            )
        if contents:
            entries = [_complete(file, content, notes) for file, content, notes in contents]
            skipped = tuple(f"{file} names no units and is taken for a template, not a session" for file in bases)
            return [replace(entries[0], notes=skipped + entries[0].notes), *entries[1:]]
    sessions = [child for child in sorted(folder.iterdir()) if child.is_dir() and is_session_folder(child)]
    if not sessions:
        raise UsageError(
            f"{folder} holds neither dataset configs (*.yaml) nor session folders with .dset files",
            hint="give a parent YAML, a folder of dataset YAMLs, or a folder of session folders",
        )
    return [_Entry(DatasetFile(session=child.name), child, child.name, folder) for child in sessions]


def _spec(entry: _Entry, data_root: str | None, types: Sequence[str] | None, some: bool) -> SessionSpec:
    file, where = entry.file, entry.where
    roots = Roots.choose(entry.folder, declared=file.data_root, option=data_root)
    files = find_recordings(roots, entry.name, tuple(types) if types else file.types, some=some)
    sampling = file.sampling
    if sampling is not None:
        factor = sampling.source_rate / sampling.target_rate
        if factor < 1 or abs(factor - round(factor)) > 1e-6:
            raise UsageError(
                f"sampling in {where}: {sampling.source_rate:g} is not a multiple of {sampling.target_rate:g}",
                hint="choose a target_rate that divides source_rate",
            )
    from_files_alone = where.is_dir()
    transforms = file.transforms
    if from_files_alone:
        transforms = {key: Transform.model_validate(value) for key, value in STANDARD_BEHAVIOR.items()}
    plan = plan_of(transforms, str(where))
    n_lags, missing_pct = _filters(file, where)
    return SessionSpec(
        name=entry.name,
        subject=subject_of(entry.name, file.lab),
        lab=file.lab,
        cids=file.cids,
        types=tuple(files),
        files=files,
        source_rate=sampling.source_rate if sampling else None,
        target_rate=sampling.target_rate if sampling else None,
        transforms=plan,
        train_val_split=file.train_val_split,
        seed=file.seed,
        config_path=None if from_files_alone else where,
        missing_pct=missing_pct,
        adapter=file.adapter,
        readout=file.readout,
        n_lags=n_lags,
        notes=entry.notes + tuple(f"{where}: transforms.{name} is not read by current twins" for name in plan.unused),
    )


def _filters(file: DatasetFile, where: Path) -> tuple[int | None, MissingPct | None]:
    """The history that `valid_nlags` asks for, and `missing_pct`, of all data filters together."""
    n_lags, missing_pct = file.n_lags, None
    for name, chosen in file.datafilters.items():
        if chosen.expose_as != "dfs":
            raise UsageError(
                f"datafilters.{name}.expose_as in {where} is {chosen.expose_as!r}", hint="current twins read dfs only"
            )
        for op in chosen.ops:
            if op.missing_pct is not None and missing_pct not in (None, op.missing_pct):
                raise UsageError(
                    f"datafilters.{name} in {where}: missing_pct is there twice, with other settings", hint="keep one"
                )
            missing_pct = op.missing_pct or missing_pct
            if op.valid_nlags is not None:
                n_lags = op.valid_nlags.n_lags
    return n_lags, missing_pct


def _each_session_once(entries: Sequence[_Entry]) -> None:
    seen: dict[str, Path] = {}
    for entry in entries:
        if entry.name in seen:
            raise UsageError(
                f"session {entry.name} is listed twice: {seen[entry.name]} and {entry.where}",
                hint="keep one, with the types and units of both",
            )
        seen[entry.name] = entry.where


def deep_merge(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """`parent` overlaid by `child`: mappings merge key by key, everything else is replaced.

    >>> deep_merge({"a": {"b": 1, "c": 2}, "d": [1, 2]}, {"a": {"b": 3}, "d": [4]})
    {'a': {'b': 3, 'c': 2}, 'd': [4]}
    """
    merged = dict(parent)
    for key, value in child.items():
        known = merged.get(key)
        merged[key] = deep_merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
