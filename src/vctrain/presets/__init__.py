"""Which presets are there, and where do their files lie?

A preset is ``presets/NAME.yaml``; the models that presets name are ``presets/models/NAME.yaml``. Free of torch.
"""

from __future__ import annotations

import difflib
import itertools
import os
from pathlib import Path

import yaml

from vctrain.errors import FaultError, UsageError

FOLDER = Path(__file__).parent


def names(folder: Path | None = None) -> list[str]:
    """Names of the presets, in order."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.yaml"))


def model_names(folder: Path | None = None) -> list[str]:
    """Names of the models that presets may name, in order."""
    return names((folder or FOLDER) / "models")


def find(name: str, folder: Path | None = None) -> Path:
    """The file of the preset ``name``; UsageError with the nearest names if there is none."""
    hint = f"a file of your own is given with --config {name}" if name.endswith((".yaml", ".yml")) else ""
    return _find("preset", name, folder or FOLDER, hint)


def find_model(name: str, folder: Path | None = None) -> Path:
    """The file of the model ``name``; UsageError with the nearest names if there is none."""
    return _find("model", name, (folder or FOLDER) / "models", "")


def find_either(name: str, folder: Path | None = None) -> Path:
    """The file of the preset, or else of the model, called ``name``."""
    if name not in names(folder) and name in model_names(folder):
        return find_model(name, folder)
    return find(name, folder)


def description(path: Path) -> str:
    """The ``description:`` of the preset or model file ``path``, on one line; empty if it has none.

    Only this key is parsed: forty whole files would take a listing longer than starting the program.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((place for place, line in enumerate(lines) if line.startswith("description:")), None)
    if first is None:
        return ""
    own = [lines[first], *itertools.takewhile(lambda line: line.startswith(" "), lines[first + 1 :])]
    return " ".join(str(yaml.safe_load("\n".join(own))["description"]).split())


def copy(name: str, destination: Path, folder: Path | None = None) -> Path:
    """Copy the preset or model ``name`` to the file ``destination`` (or into that folder); never overwrites.

    Returns the new file. UsageError if it exists or its folder does not, FaultError if it cannot be written.
    """
    source = find_either(name, folder)
    target = destination / source.name if destination.is_dir() else destination
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder", hint=f"mkdir -p {target.parent}, or choose another place")
    try:
        with target.open("xb") as out:
            out.write(source.read_bytes())
    except FileExistsError as error:
        raise UsageError(
            f"{target} exists; nothing was changed", hint="choose another name, or remove it first"
        ) from error
    except OSError as error:
        raise FaultError(
            f"cannot write {target}: {os.strerror(error.errno or 0)}", hint="choose another place"
        ) from error
    return target


def _find(kind: str, name: str, folder: Path, hint: str) -> Path:
    known = names(folder)
    if name in known:
        return folder / f"{name}.yaml"
    if not hint:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known) or 'none'}"
    raise UsageError(f"no {kind} {name!r}", hint=hint)
