"""Where do the recordings of a session lie, and whose are they?"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vctrain.errors import ContractError, UsageError

_LAYOUTS = ("{type}.dset", "datasets/{type}.dset", "shifter/{type}_shifted.dset")
_DATED = re.compile(r"^(?P<subject>.+?)_\d{4}-\d{2}-\d{2}")
_DATE_FIRST = re.compile(r"^\d{4}-?\d{2}-?\d{2}_(?P<subject>[^_]+)")


@dataclass(frozen=True)
class Roots:
    """Folders that may hold session folders, in the order they are tried, and where that choice came from."""

    folders: tuple[Path, ...]
    source: str

    @classmethod
    def choose(cls, config_folder: Path, *, declared: str | None, option: str | None) -> Roots:
        """The first of: `data_root:` of the config (relative to it), --data-root, VCTRAIN_DATA_ROOT, the config's
        folder and then its parent."""
        if declared is not None:
            return cls((config_folder / Path(declared).expanduser(),), "data_root of the config")
        if option is not None:
            return cls((Path(option).expanduser(),), "--data-root")
        from_environment = os.environ.get("VCTRAIN_DATA_ROOT")
        if from_environment:
            return cls((Path(from_environment).expanduser(),), "VCTRAIN_DATA_ROOT")
        return cls((config_folder, config_folder.resolve().parent), "the config's folder and its parent")


def find_recordings(roots: Roots, session: str, types: Sequence[str] | None, *, some: bool = False) -> dict[str, Path]:
    """The file of each type of `session`, in order; all types found (sorted) if `types` is None.

    With `some`, of those of `types` that are there, which may be none. Raises ContractError listing every path tried,
    or naming what cannot be looked at.
    """
    try:
        return _all_recordings(roots, session) if types is None else _recordings_of(roots, session, types, some)
    except OSError as error:
        raise ContractError(
            f"session {session}: {error.filename} cannot be looked at: {error.strerror}",
            hint="check who may read it and its folders",
        ) from error


def _recordings_of(roots: Roots, session: str, types: Sequence[str], some: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for kind in types:
        tried = [root / session / layout.format(type=kind) for root in roots.folders for layout in _LAYOUTS]
        match = next((path for path in tried if path.is_file()), None)
        if match is None and some:
            continue
        if match is None:
            listing = ", ".join(str(path) for path in tried)
            raise ContractError(
                f"session {session} has no {kind} recording; tried {listing}",
                hint=f"roots come from {roots.source}; set --data-root, or name types that are there with --types",
            )
        found[kind] = match
    return found


def _all_recordings(roots: Roots, session: str) -> dict[str, Path]:
    for root in roots.folders:
        found = recordings_in(root / session)
        if found:
            return found
    listing = ", ".join(str(root / session) for root in roots.folders)
    raise ContractError(
        f"session {session} has no .dset file; tried {listing}",
        hint=f"roots come from {roots.source}; set --data-root, or list types",
    )


def recordings_in(folder: Path) -> dict[str, Path]:
    """Every recording of a session folder by type, sorted by type; the layouts are tried in their usual order."""
    found: dict[str, Path] = {}
    for inner, suffix in ((folder, ""), (folder / "datasets", ""), (folder / "shifter", "_shifted")):
        for path in sorted(inner.glob(f"*{suffix}.dset")) if inner.is_dir() else ():
            kind = path.stem.removesuffix(suffix) if suffix else path.stem
            found.setdefault(kind, path)
    return dict(sorted(found.items()))


def session_folder(recording: Path) -> Path:
    """The folder of the session that a recording belongs to, in any of the usual layouts."""
    return recording.parent.parent if recording.parent.name in ("datasets", "shifter") else recording.parent


def is_session_folder(folder: Path) -> bool:
    """Whether `folder` holds recordings in one of the usual layouts."""
    return bool(recordings_in(folder))


def subject_of(session: str, lab: str = "yates") -> str:
    """The subject a session name starts with; in lab rowley the date comes first. Raises UsageError for an empty name.

    >>> subject_of("Allen_2022-02-16"), subject_of("Mouse_7_2022-02-16"), subject_of("Salamander_x00y32")
    ('Allen', 'Mouse_7', 'Salamander')
    >>> subject_of("2021-06-01_Luke", "rowley")
    'Luke'
    """
    if not session:
        raise UsageError("a session has an empty name", hint="name it Subject_YYYY-MM-DD")
    dated = _DATE_FIRST.match(session) if lab == "rowley" else _DATED.match(session)
    return dated.group("subject") if dated else session.split("_", 1)[0]


def cache_root() -> Path:
    """``$VCTRAIN_CACHE``, else ``$XDG_CACHE_HOME``, else ``~/.cache``; and ``vctrain`` in it."""
    chosen = os.environ.get("VCTRAIN_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen).expanduser() if chosen else Path.home() / ".cache") / "vctrain"
