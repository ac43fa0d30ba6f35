"""What do the tables of docs/migration.md name, and does each name of the present exist?"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from vctrain import cli, presets
from vctrain.config.dataset_schema import ParentFile
from vctrain.config.resolve import resolve
from vctrain.config.schema import Settings
from vctrain.errors import VctrainError

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"
_CODE = re.compile(r"`([^`]+)`")
_PRESENT = re.compile(r"vctrain |--|eval-bps|finetune |(model|data|optim|trainer|init|logging)\.[\w.]+(=|$)")
"""In notes, where names of then stand too."""
RUN_FILES = ("best.ckpt", "last.ckpt", "metrics.csv", "checkpoints/")
"""What the page names of a run directory."""


@dataclass(frozen=True)
class Row:
    """A line of a table: its section, what was then, what is now with its text, and present names in the notes."""

    section: str
    then: tuple[str, ...]
    now: tuple[str, ...]
    text: str
    noted: tuple[str, ...]

    @property
    def old_words(self) -> set[str]:
        """The single words of what was then."""
        return {word for name in self.then for word in re.findall(r"\w+", name)}


def rows(text: str) -> Iterator[Row]:
    """The rows of all tables below a second heading whose columns are those of then and now."""
    section, inside = "", False
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif "now" in cells[:2]:
            inside = True
        elif inside and not set(cells[0]) <= set("-:"):
            noted = tuple(name for name in _CODE.findall(" ".join(cells[2:])) if _PRESENT.match(name))
            yield Row(section, tuple(_CODE.findall(cells[0])), tuple(_CODE.findall(cells[1])), cells[1], noted)


def fault(name: str) -> str | None:
    """What is wrong with a name of the present; None if it exists.

    ``VERB ... --flag``, ``--flag`` (of train), ``setting.path``, ``setting.path=VALUE``, a value that some setting may
    have, or a Python name.
    """
    if name in RUN_FILES or name in presets.names() or name in _values(Settings):
        return None
    words = shlex.split(name)
    if words[0].startswith("--"):
        words = ["train", *words]
    words = words[1:] if words[0] == "vctrain" else words
    if words[0] in cli.VERBS:
        return _command_fault(words)
    if name.startswith("vctrain."):
        return _python_fault(name)
    if "=" in name:
        return _setting_fault(["gaborium"], [name])
    return None if _exists(Settings, name) or _exists(ParentFile, name) else f"{name} is no setting"


def options(words: list[str]) -> tuple[set[str], int]:
    """The options of the command that ``words`` begin with, and how many of the words name it."""
    command: Any = cli._load(words[0])
    named = 1
    if len(words) > 1 and words[1] in getattr(command, "commands", {}):
        command, named = command.commands[words[1]], 2
    return {option for parameter in command.params for option in parameter.opts}, named


def _command_fault(words: list[str]) -> str | None:
    known, named = options(words)
    for word in words[named:]:
        if word.startswith("-") and word.partition("=")[0] not in known:
            return f"{' '.join(words[:named])} has no {word}"
    sets = [value for option, value in pairwise(words) if option == "--set" and not value.endswith("=NAME")]
    wanted = [value for option, value in pairwise(words) if option == "--preset"]
    return _setting_fault(wanted, sets) if wanted or sets else None


def _setting_fault(preset: list[str], sets: list[str]) -> str | None:
    try:
        resolve(preset[0] if preset else None, sets=sets)
    except VctrainError as error:
        return error.message
    return None


def _python_fault(name: str) -> str | None:
    module, _, attribute = name.rpartition(".")
    try:
        if not hasattr(importlib.import_module(module), attribute):
            importlib.import_module(name)
    except ImportError:
        return f"{name} cannot be imported"
    return None


def _exists(kind: type[BaseModel], dotted: str) -> bool:
    """Whether a setting of that path is in ``kind``, in any type that it may take, or in the items of a list.

    >>> _exists(Settings, "model.convnet.blocks.pool.soft"), _exists(Settings, "model.convnet.blocks.pool.sofd")
    (True, False)
    """
    models = {kind}
    for key in dotted.split("."):
        found = [model.model_fields[key].annotation for model in models if key in model.model_fields]
        if not found:
            return False
        models = {model for annotation in found for model in _models(annotation)}
    return True


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


@cache
def _values(kind: type[BaseModel]) -> frozenset[str]:
    """The words that a setting below ``kind`` may have."""
    found: set[str] = set()
    for field in kind.model_fields.values():
        found |= set(_words(field.annotation))
        found |= {word for model in _models(field.annotation) for word in _values(model)}
    return frozenset(found)


def _words(annotation: Any) -> Iterator[str]:
    for inner in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield str(inner)
        else:
            yield from _words(inner)
