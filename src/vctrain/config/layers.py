"""How do layers of settings (preset, file, --set, flags) merge into one mapping that knows the source of each value?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vctrain.errors import UsageError


@dataclass
class Merged:
    """The merged mapping, and the source of every leaf by its dotted path (list items of mappings are entered)."""

    values: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Mapping[str, Any], source: str) -> None:
        """Put ``layer`` on top: mappings merge, everything else replaces.

        A mapping whose ``type`` differs from the one below replaces it, because settings of one type mean nothing to
        another. Below a list, the keys are item numbers; UsageError if there is no such item.
        """
        self._merge(self.values, layer, "", source)

    def replace(self, key: str, value: Mapping[str, Any]) -> None:
        """Let ``value``, which has no source, take the place of everything at the top-level ``key``."""
        self._forget(key)
        self.values[key] = _copy(value)

    def source(self, path: str) -> str:
        """Where the value at ``path`` came from, or else a value below it, or else the nearest above."""
        if path in self.sources:
            return self.sources[path]
        for leaf, source in self.sources.items():
            if leaf.startswith(f"{path}."):
                return source
        above = path.rpartition(".")[0]
        return self.source(above) if above else ""

    def _merge(self, below: dict[str, Any], layer: Mapping[str, Any], prefix: str, source: str) -> None:
        for key, value in layer.items():
            path = f"{prefix}{key}"
            if isinstance(value, Mapping):
                old = below.get(key)
                if isinstance(old, list) and value and all(str(item).isdigit() for item in value):
                    self._into_items(old, value, path, source)
                    continue
                if isinstance(old, dict) and value.get("type", old.get("type")) == old.get("type"):
                    self._merge(old, value, f"{path}.", source)
                    continue
            self._forget(path)
            below[key] = _copy(value)
            for leaf, _ in leaves(value, path):
                self.sources[leaf] = source

    def _into_items(self, items: list[Any], layer: Mapping[str, Any], path: str, source: str) -> None:
        for number in layer:
            if int(number) >= len(items):
                raise UsageError(
                    f"{path}.{number} in {source}: {path} has {len(items)} items, counted from 0",
                    hint=f"write the whole list {path} to add to it",
                )
        numbered = {str(number): item for number, item in enumerate(items)}
        self._merge(numbered, {str(int(number)): value for number, value in layer.items()}, f"{path}.", source)
        items[:] = list(numbered.values())

    def _forget(self, path: str) -> None:
        for leaf in [leaf for leaf in self.sources if leaf == path or leaf.startswith(f"{path}.")]:
            del self.sources[leaf]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of everything in ``value`` that is not a mapping or a list of mappings.

    >>> dict(leaves({"a": {"b": [1, 2]}, "c": [{"d": None}]}))
    {'a.b': [1, 2], 'c.0.d': None}
    """
    prefix = f"{path}." if path else ""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{prefix}{key}")
    elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from leaves(item, f"{prefix}{number}")
    else:
        yield path, value


def commented_yaml(values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    """``values`` as YAML with the source of every leaf as a comment behind it."""
    return "\n".join(_lines(values, "", "", sources)) + "\n"


def _lines(values: Mapping[str, Any], indent: str, path: str, sources: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        here = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from _lines(value, f"{indent}  ", f"{here}.", sources)
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) and item for item in value):
            yield f"{indent}{key}:"
            for number, item in enumerate(value):
                first, *rest = _lines(item, f"{indent}    ", f"{here}.{number}.", sources)
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            comment = " ".join(sources.get(here, "default").split())
            yield f"{indent}{key}: {_scalar(value)}  # {comment}"


def _scalar(value: Any) -> str:
    """``value`` as YAML on one line."""
    text = yaml.safe_dump(_copy(value), default_flow_style=True, width=10**9).rstrip("\n").removesuffix("\n...")
    return json.dumps(_copy(value)) if "\n" in text else text


def _copy(value: Any) -> Any:
    """Plain lists and dictionaries with text keys, sharing nothing with ``value``."""
    if isinstance(value, Mapping):
        return {str(key): _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value
