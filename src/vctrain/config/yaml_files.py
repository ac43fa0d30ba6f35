"""How is a YAML file read and checked, so that every error names the file, the path and the nearest valid key?"""

from __future__ import annotations

import difflib
import types
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from vctrain.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
_MOST_VALUES = 1_000_000
_UNFOLD = "write the values out, without anchors (&) and aliases (*)"
_LONGEST_SHOWN = 80


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader to which a key written twice is an error instead of a silent choice."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable) or key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=deep)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that the YAML file at `path` holds; UsageError (file and line) for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint="check the path and that it is a text file") from error
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)
        _check_size(content, path)
    except RecursionError:
        raise UsageError(f"{path}: invalid YAML: nested too deeply, or in itself", hint=_UNFOLD) from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, LookupError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{where}: invalid YAML: {problem}", hint="indent with spaces, write each key once") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{path} does not hold a mapping of keys to values", hint="see the data format page")
    return content


def _check_size(content: Any, path: Path) -> None:
    """UsageError if anchors and aliases make more of a short text than anyone would write."""
    sizes: dict[int, int] = {}

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        if id(value) not in sizes:
            sizes[id(value)] = 1 + sum(map(size, value.values() if isinstance(value, dict) else value))
        return sizes[id(value)]

    if size(content) > _MOST_VALUES:
        raise UsageError(f"{path}: its aliases unfold to more than {_MOST_VALUES:,} values", hint=_UNFOLD)


def validated(model: type[Model], content: Mapping[str, Any], where: str | Path) -> Model:
    """`content` as a `model`; UsageError naming `where`, the dotted path, and the nearest valid key."""
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _usage_error(model, first, str(where)) from None


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint: the valid name closest to `name`, or all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"valid: {', '.join(names)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _usage_error(model: type[BaseModel], problem: Mapping[str, Any], where: str) -> UsageError:
    location = [str(part) for part in problem["loc"] if part != "function-before"]
    path = ".".join(part if len(part) <= _LONGEST_SHOWN else _shown(part) for part in location)
    context = problem.get("ctx", {})
    if problem["type"] == "extra_forbidden":
        return UsageError(f"unknown key {path} in {where}", hint=nearest(location[-1], _keys_at(model, location[:-1])))
    if problem["type"] == "union_tag_invalid":
        valid = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
        tag = str(context["tag"])
        return UsageError(f"unknown operation {_shown(tag)} at {path} in {where}", hint=nearest(tag, valid))
    if problem["type"] == "missing":
        return UsageError(f"{path} is missing in {where}", hint=f"add {path}: to the file")
    message = problem["msg"].removeprefix("Value error, ")
    return UsageError(f"{path} in {where}: {message} (got {_shown(problem['input'])})", hint=f"correct {path}")


def _keys_at(annotation: Any, path: list[str]) -> list[str]:
    """The keys that a mapping at `path` below `annotation` may have."""
    options = _models(annotation, path[0] if path else None)
    if not path:
        return [name for option in options if _is_model(option) for name in option.model_fields if name != "op"]
    head, rest = path[0], path[1:]
    for option in options:
        if _is_model(option):
            if head in option.model_fields:
                return _keys_at(option.model_fields[head].annotation, rest)
            if _tag(option) == head:
                return _keys_at(option, rest)
        elif get_origin(option) in (dict, tuple, list):
            inner = [part for part in get_args(option) if part is not Ellipsis]
            return _keys_at(inner[-1], rest)
    return []


def _models(annotation: Any, tag: str | None) -> list[Any]:
    origin = get_origin(annotation)
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _models(get_args(annotation)[0], tag)
    if origin in (Union, types.UnionType):
        members = [part for option in get_args(annotation) for part in _models(option, tag)]
        tagged = [part for part in members if tag is not None and _tag(part) == tag]
        return tagged or members
    return [annotation]


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _tag(option: Any) -> str | None:
    field = option.model_fields.get("op") if _is_model(option) else None
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    return str(get_args(field.annotation)[0])
